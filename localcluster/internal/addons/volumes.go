package addons

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tenantry.dev/localcluster/internal/api"
	"tenantry.dev/localcluster/internal/state"
)

const persistentVolumes = "/api/v1/persistentvolumes"

// volumes is how many volumes a cluster has. They cost nothing until used,
// and there is no provisioner that would make more.
const volumes = 16

const poll = 20 * time.Millisecond

// volumeManifest describes a volume by name, folder and node.
const volumeManifest = `apiVersion: v1
kind: PersistentVolume
metadata:
  name: %s
  labels: {tenantry.dev/local-volume: "true"}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: local
  local: {path: %q}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%q]}]
`

// ApplyStorage makes the default storage class and its volumes. A volume
// whose claim is gone is wiped and made anew; one in use is left alone.
func ApplyStorage(ctx context.Context, client *api.Client, l state.Layout, node string) error {
	if err := apply(ctx, client, storageManifest); err != nil {
		return err
	}
	for number := range volumes {
		name := fmt.Sprintf("local-%02d", number+1)
		if err := ensureVolume(ctx, client, l, node, name); err != nil {
			return fmt.Errorf("volume %s: %w", name, err)
		}
	}
	return nil
}

func ensureVolume(ctx context.Context, client *api.Client, l state.Layout, node, name string) error {
	folder := l.Volume(name)
	switch phase, err := phase(ctx, client, name); {
	case err != nil:
		return err
	case phase == "Released" || phase == "Failed":
		if err := client.Delete(ctx, persistentVolumes+"/"+name); err != nil && !errors.Is(err, api.ErrNotFound) {
			return err
		}
		if err := awaitAbsence(ctx, client, name); err != nil {
			return err
		}
	case phase != "":
		return makeFolder(folder)
	}
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("wipe: %w", err)
	}
	if err := makeFolder(folder); err != nil {
		return err
	}
	return apply(ctx, client, fmt.Appendf(nil, volumeManifest, name, folder, node))
}

// makeFolder makes a missing folder that pods of any user can write to.
// Nobody else gets past the state folder that it lies in.
func makeFolder(folder string) error {
	err := os.Mkdir(folder, 0o777)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(folder), 0o755); err == nil {
			err = os.Mkdir(folder, 0o777)
		}
	}
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(folder, 0o777) // The umask has its say in Mkdir.
}

// phase is empty for a volume that does not exist.
func phase(ctx context.Context, client *api.Client, name string) (string, error) {
	var volume struct {
		Status struct{ Phase string }
	}
	err := client.Get(ctx, persistentVolumes+"/"+name, &volume)
	if errors.Is(err, api.ErrNotFound) {
		return "", nil
	}
	if err == nil && volume.Status.Phase == "" {
		return "Pending", nil
	}
	return volume.Status.Phase, err
}

func awaitAbsence(ctx context.Context, client *api.Client, name string) error {
	for {
		if phase, err := phase(ctx, client, name); err != nil || phase == "" {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it is not deleted: %w", ctx.Err())
		case <-time.After(poll):
		}
	}
}
