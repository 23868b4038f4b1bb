// Package images brings container images from archives into the cluster's
// store.
package images

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// indexLimit bounds what is read of an archive's table of contents.
const indexLimit = 1 << 20

// Image is a name and the digest of what it stands for.
type Image struct {
	Reference string
	Digest    string
}

// Archive is an OCI archive as given by the user.
type Archive struct {
	// Path is the tar file.
	Path string
	// Name is the reference that the user gave, or empty for those inside.
	Name string
	// Images are what the archive brings.
	Images []Image
}

// Open reads the archive's table of contents. The argument is a path, or a
// path, an equals sign and the reference that the image is to have.
func Open(argument string) (Archive, error) {
	path, name, _ := strings.Cut(argument, "=")
	index, err := readIndex(path)
	if err != nil {
		return Archive{}, fmt.Errorf("image archive %s: %w; fix: give an archive made with oci-archive", path, err)
	}
	archive := Archive{Path: path, Name: name}
	archive.Images, err = contents(index, name)
	if err != nil {
		return Archive{}, fmt.Errorf("image archive %s: %w; fix: give its reference as %s=REFERENCE", path, err, path)
	}
	return archive, nil
}

// Brings reports whether the archive holds an image of that reference.
func (a Archive) Brings(reference string) bool {
	for _, image := range a.Images {
		if image.Reference == reference {
			return true
		}
	}
	return false
}

// contents lists the images of an index. A name given from outside is given
// to the index as a whole, so its digest is that of the index itself.
func contents(index []byte, name string) ([]Image, error) {
	if name != "" {
		sum := sha256.Sum256(index)
		return []Image{{Reference: name, Digest: "sha256:" + hex.EncodeToString(sum[:])}}, nil
	}
	var parsed struct {
		Manifests []struct {
			Digest      string            `json:"digest"`
			Annotations map[string]string `json:"annotations"`
		} `json:"manifests"`
	}
	if err := json.Unmarshal(index, &parsed); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	var images []Image
	for _, manifest := range parsed.Manifests {
		reference := manifest.Annotations["io.containerd.image.name"]
		if reference == "" {
			reference = manifest.Annotations["org.opencontainers.image.ref.name"]
		}
		if strings.ContainsAny(reference, "/:@") {
			images = append(images, Image{Reference: reference, Digest: manifest.Digest})
		}
	}
	if len(images) == 0 {
		return nil, errors.New("no image in it has a full reference")
	}
	return images, nil
}

func readIndex(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it has no index.json")
		}
		if err != nil {
			return nil, err
		}
		if strings.TrimPrefix(header.Name, "./") == "index.json" {
			return io.ReadAll(io.LimitReader(archive, indexLimit))
		}
	}
}
