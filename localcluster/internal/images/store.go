package images

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// namespace is the part of containerd's store that Kubernetes uses.
const namespace = "k8s.io"

// Store is the image store of one cluster.
type Store struct {
	// Socket is where its containerd listens.
	Socket string
}

// List maps each reference in the store to its digest.
func (s Store) List(ctx context.Context) (map[string]string, error) {
	output, err := s.ctr(ctx, "images", "list")
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	return parseList(output), nil
}

// parseList reads the table that `ctr images list` prints: reference, type,
// digest and further columns, below a headline.
func parseList(table string) map[string]string {
	images := make(map[string]string)
	for line := range strings.Lines(table) {
		const referenceField, digestField = 0, 2
		if fields := strings.Fields(line); len(fields) > digestField && strings.HasPrefix(fields[digestField], "sha256:") {
			images[fields[referenceField]] = fields[digestField]
		}
	}
	return images
}

// Load imports the archive unless the store has all that is in it.
func (s Store) Load(ctx context.Context, a Archive) (imported bool, err error) {
	present, err := s.List(ctx)
	if err != nil {
		return false, err
	}
	if a.isIn(present) {
		return false, nil
	}
	arguments := []string{"images", "import"}
	if a.Name != "" {
		arguments = append(arguments, "--index-name", a.Name)
	}
	if _, err := s.ctr(ctx, append(arguments, a.Path)...); err != nil {
		return false, fmt.Errorf("import image archive %s: %w", a.Path, err)
	}
	return true, nil
}

func (a Archive) isIn(present map[string]string) bool {
	for _, image := range a.Images {
		if present[image.Reference] != image.Digest {
			return false
		}
	}
	return true
}

func (s Store) ctr(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, "ctr", append([]string{"--address", s.Socket, "--namespace", namespace}, arguments...)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", arguments[1], err, strings.TrimSpace(stderr.String()))
	}
	return string(output), nil
}
