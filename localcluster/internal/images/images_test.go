package images

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const digest = "sha256:aad98b5c15303c145439a4fc32be6b97b82577b3c7f0c2836380beae6cc2da25"

func archive(t *testing.T, entry, index string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	writer := tar.NewWriter(file)
	if err := writer.WriteHeader(&tar.Header{Name: entry, Mode: 0o644, Size: int64(len(index))}); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write([]byte(index)); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func index(reference string) string {
	return `{"manifests":[{"digest":"` + digest + `","annotations":{"org.opencontainers.image.ref.name":"` + reference + `"}}]}`
}

func TestArchiveTellsItsImages(t *testing.T) {
	for _, entry := range []string{"index.json", "./index.json"} {
		a, err := Open(archive(t, entry, index("localhost/tenantry/pause:1")))
		if err != nil {
			t.Fatal(err)
		}
		if !a.Brings("localhost/tenantry/pause:1") || a.Brings("localhost/tenantry/pause") || a.Images[0].Digest != digest {
			t.Errorf("%s: %+v", entry, a)
		}
	}
}

func TestANameFromOutsideNamesTheIndex(t *testing.T) {
	path := archive(t, "index.json", index("1"))
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path+"=REFERENCE") {
		t.Errorf("without a name: %v", err)
	}
	a, err := Open(path + "=localhost/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if !a.Brings("localhost/x:1") || a.Path != path || a.Images[0].Digest == digest {
		t.Errorf("%+v", a)
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no archive ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{text, text + ".missing", archive(t, "manifest.json", "[]"), archive(t, "index.json", "{")} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestOnlyImagesOfTheSameDigestArePresent(t *testing.T) {
	present := parseList(`REF TYPE DIGEST SIZE PLATFORMS LABELS
localhost/tenantry/pause:1 application/vnd.oci.image.manifest.v1+json ` + digest + ` 27.6 KiB linux/amd64 io.cri-containerd.image=managed
`)
	if len(present) != 1 {
		t.Errorf("list is read as %v", present)
	}
	for _, test := range []struct {
		image Image
		in    bool
	}{
		{Image{"localhost/tenantry/pause:1", digest}, true},
		{Image{"localhost/tenantry/pause:1", "sha256:other"}, false},
		{Image{"localhost/tenantry/pause:2", digest}, false},
	} {
		if (Archive{Images: []Image{test.image}}).isIn(present) != test.in {
			t.Errorf("%+v present: %v", test.image, !test.in)
		}
	}
}
