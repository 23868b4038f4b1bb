package components

import (
	"maps"

	"tenantry.dev/localcluster/internal/state"
)

// Files renders every file that the components read, certificates apart.
func (s Settings) Files() (map[string][]byte, error) {
	files := map[string][]byte{s.Layout.AuditPolicy(): []byte(AuditPolicy)}
	for path, identity := range s.Kubeconfigs() {
		content, err := s.Kubeconfig(identity)
		if err != nil {
			return nil, err
		}
		files[path] = content
	}
	if s.Mode == state.Full {
		maps.Copy(files, s.nodeFiles())
	}
	return files, nil
}
