package state

import (
	"bytes"
	"os"
	"path/filepath"
)

// WriteFile writes by renaming, so that a reader or a crash never meets half
// a file, and makes the folder when it is missing.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, data, mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// UpdateFile writes the file unless it already holds data, and reports
// whether it wrote.
func UpdateFile(path string, data []byte, mode os.FileMode) (changed bool, err error) {
	if current, err := os.ReadFile(path); err == nil && bytes.Equal(current, data) {
		return false, nil
	}
	return true, WriteFile(path, data, mode)
}
