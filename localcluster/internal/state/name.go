// Package state knows where a cluster keeps its files, what it remembers
// between runs, and how two runs keep out of each other's way.
package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// DefaultName is the cluster that commands act on when none is named.
const DefaultName = "demo"

// maxNameLength leaves room for the name inside longer names that have limits
// of their own: the network namespace, the node and its certificates.
const maxNameLength = 20

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// ValidateName accepts DNS labels of at most 20 characters.
func ValidateName(name string) error {
	if len(name) > maxNameLength || !namePattern.MatchString(name) {
		return fmt.Errorf("cluster name %q is not a DNS label of at most %d characters", name, maxNameLength)
	}
	return nil
}

// Base is the folder that holds the clusters of this user: a system folder
// for root, the cache folder for everybody else.
func Base() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/tenantry-local", nil
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", errors.New("no place for the cluster's files is known; fix: set XDG_CACHE_HOME or HOME, or give --state-dir")
		}
		cache = filepath.Join(home, ".cache")
	}
	if !filepath.IsAbs(cache) {
		return "", fmt.Errorf("XDG_CACHE_HOME or HOME is not an absolute path: %q", cache)
	}
	return filepath.Join(cache, "tenantry", "clusters"), nil
}

// Resolve returns the layout of the named cluster. override, when not empty,
// is the state folder itself.
//
// The path is made absolute and free of symbolic links, because processes are
// recognised by it and the kernel reports mounts by their real path.
func Resolve(name, override string) (Layout, error) {
	if err := ValidateName(name); err != nil {
		return Layout{}, err
	}
	base, err := Base()
	if err != nil && override == "" {
		return Layout{}, err
	}
	standard := realPath(filepath.Join(base, name))
	if override == "" {
		return Layout{Name: name, Dir: standard, Default: true}, nil
	}
	dir, err := filepath.Abs(override)
	if err != nil {
		return Layout{}, fmt.Errorf("resolve state folder %s: %w", override, err)
	}
	dir = realPath(dir)
	return Layout{Name: name, Dir: dir, Default: dir == standard}, nil
}

// realPath resolves the symbolic links of the longest part of path that exists.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(realPath(parent), filepath.Base(path))
}
