package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Lock is held by the one command that may change a cluster.
type Lock struct {
	file *os.File
	path string
}

// Acquire takes the cluster's lock, and calls waiting once when somebody else
// holds it.
func Acquire(ctx context.Context, l Layout, waiting func()) (*Lock, error) {
	path := l.Lock()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the cluster's state: %w", err)
	}
	for announced := false; ; {
		lock, err := try(path)
		if lock != nil || err != nil {
			return lock, err
		}
		if !announced {
			announced = true
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another localcluster holds %s: %w", path, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// try returns nil without an error when the lock is taken.
func try(path string) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// The previous holder may have removed the file after we opened it: then
	// this lock guards a file that nobody else will ever open.
	held, err := file.Stat()
	if err == nil {
		var named os.FileInfo
		if named, err = os.Stat(path); err == nil && os.SameFile(held, named) {
			return &Lock{file: file, path: path}, nil
		}
	}
	_ = file.Close()
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return nil, fmt.Errorf("check lock %s: %w", path, err)
}

// Release gives the lock up and keeps its file.
func (k *Lock) Release() { _ = k.file.Close() }

// Remove gives the lock up and leaves no file behind.
func (k *Lock) Remove() error {
	defer k.Release()
	return os.Remove(k.path)
}
