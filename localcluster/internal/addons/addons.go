// Package addons holds what a cluster has inside from the start: DNS, a
// storage class and volumes.
package addons

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"

	"sigs.k8s.io/yaml"

	"tenantry.dev/localcluster/internal/api"
)

//go:embed manifests/coredns.yaml
var corednsManifest []byte

//go:embed manifests/storage.yaml
var storageManifest []byte

// collections are the paths of the kinds that are used here.
var collections = map[string]string{
	"ServiceAccount":     "/api/v1/namespaces/%s/serviceaccounts",
	"ConfigMap":          "/api/v1/namespaces/%s/configmaps",
	"Service":            "/api/v1/namespaces/%s/services",
	"Deployment":         "/apis/apps/v1/namespaces/%s/deployments",
	"ClusterRole":        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
	"ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	"StorageClass":       "/apis/storage.k8s.io/v1/storageclasses",
	"PersistentVolume":   persistentVolumes,
}

// ApplyDNS makes the cluster resolve names.
func ApplyDNS(ctx context.Context, client *api.Client) error {
	return apply(ctx, client, corednsManifest)
}

// apply applies each of the YAML documents.
func apply(ctx context.Context, client *api.Client, documents []byte) error {
	for _, document := range bytes.Split(documents, []byte("\n---\n")) {
		path, err := path(document)
		if err != nil {
			return err
		}
		if err := client.Apply(ctx, path, document); err != nil {
			return fmt.Errorf("apply manifest: %w", err)
		}
	}
	return nil
}

// path is where the API server has the object that a document describes.
func path(document []byte) (string, error) {
	var object struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"metadata"`
	}
	if err := yaml.Unmarshal(document, &object); err != nil {
		return "", fmt.Errorf("read manifest: %w", err)
	}
	collection, known := collections[object.Kind]
	if !known {
		return "", fmt.Errorf("no path is known for kind %q", object.Kind)
	}
	if object.Metadata.Namespace != "" {
		collection = fmt.Sprintf(collection, object.Metadata.Namespace)
	}
	return collection + "/" + object.Metadata.Name, nil
}
