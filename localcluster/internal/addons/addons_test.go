package addons

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"tenantry.dev/localcluster/internal/components"
)

func TestEveryManifestHasAPlace(t *testing.T) {
	volume := fmt.Appendf(nil, volumeManifest, "local-01", "/x/volumes/local-01", "demo")
	paths := make(map[string]bool)
	for _, documents := range [][]byte{corednsManifest, storageManifest, volume} {
		for _, document := range bytes.Split(documents, []byte("\n---\n")) {
			path, err := path(document)
			if err != nil || strings.Contains(path, "%") || paths[path] {
				t.Errorf("path %q: %v\n%s", path, err, document)
			}
			paths[path] = true
		}
	}
	for _, want := range []string{components.DNSPath, "/api/v1/persistentvolumes/local-01", "/apis/storage.k8s.io/v1/storageclasses/local"} {
		if !paths[want] {
			t.Errorf("nothing is applied at %s", want)
		}
	}
}

func TestDNSManifestUsesTheAgreedNames(t *testing.T) {
	for _, name := range []string{"image: " + components.DNSImage, "clusterIP: " + components.DNSServiceIP} {
		if !bytes.Contains(corednsManifest, []byte(name+"\n")) {
			t.Errorf("no %q in the manifest", name)
		}
	}
}

func TestVolumeManifestQuotesThePath(t *testing.T) {
	var volume struct {
		Spec struct {
			Local struct{ Path string } `json:"local"`
		} `json:"spec"`
	}
	const folder = `/x y/"z: {}`
	if err := yaml.UnmarshalStrict(fmt.Appendf(nil, volumeManifest, "local-01", folder, "1"), &map[string]any{}); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(fmt.Appendf(nil, volumeManifest, "local-01", folder, "1"), &volume); err != nil || volume.Spec.Local.Path != folder {
		t.Errorf("path is read as %q, %v", volume.Spec.Local.Path, err)
	}
}
