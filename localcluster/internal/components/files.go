package components

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
	return files, nil
}
