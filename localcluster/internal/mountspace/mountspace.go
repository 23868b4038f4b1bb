// Package mountspace gives a whole cluster a view of the file system of its
// own.
//
// containerd, its shims, the CNI plug-ins and the kubelet each have folders
// that cannot be configured away, which two clusters would share and which
// nobody would clean up. Inside the mount namespace these are empty and
// private. Every mount that containers and volumes need exists only there,
// too, so all of them go with the namespace, in whatever way the cluster ends.
package mountspace

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tenantry.dev/localcluster/internal/state"
)

// private are the folders that are empty at first inside, and whose content
// goes with the namespace.
var private = []string{"/run", "/var/lib", "/var/log"}

// Space is the mount namespace of one cluster, held by a file in its state.
type Space struct{ layout state.Layout }

// Of is the space of a cluster, whether it exists or not.
func Of(l state.Layout) Space { return Space{layout: l} }

// pin is the file that holds the namespace while no process does.
func (s Space) pin() string { return filepath.Join(s.folder(), "mnt") }

func (s Space) folder() string { return s.layout.Path("namespaces") }

// Exists reports whether the namespace is there.
func (s Space) Exists() bool {
	var stat unix.Statfs_t
	return unix.Statfs(s.pin(), &stat) == nil && stat.Type == unix.NSFS_MAGIC
}

// Ensure makes the namespace unless it exists. The visible folders are the
// same inside as outside, wherever they lie.
func (s Space) Ensure(visible ...string) error {
	if s.Exists() {
		return nil
	}
	if err := s.preparePin(); err != nil {
		return fmt.Errorf("prepare mount namespace: %w", err)
	}
	made, held := make(chan error, 1), make(chan struct{})
	defer close(held)
	var thread int
	go func() {
		// The thread is never unlocked and so ends with this goroutine.
		runtime.LockOSThread()
		thread = unix.Gettid()
		made <- build(visible)
		<-held
	}()
	if err := <-made; err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	source := fmt.Sprintf("/proc/self/task/%d/ns/mnt", thread)
	if err := unix.Mount(source, s.pin(), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("hold mount namespace: %w", err)
	}
	return nil
}

// preparePin makes the file to hold the namespace by. Its folder has to be a
// mount of its own that is not propagated, because a namespace must not
// come to hold itself.
func (s Space) preparePin() error {
	if err := os.MkdirAll(s.folder(), 0o700); err != nil {
		return err
	}
	if err := unix.Mount(s.folder(), s.folder(), "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := unix.Mount("", s.folder(), "", unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return os.WriteFile(s.pin(), nil, 0o600)
}

// build moves the calling thread into a new mount namespace and arranges it.
func build(visible []string) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	// What the host unmounts goes here, too; what happens here stays here, and
	// is shared with containers that ask for it.
	for _, propagation := range []uintptr{unix.MS_SLAVE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", unix.MS_REC|propagation, ""); err != nil {
			return fmt.Errorf("set propagation: %w", err)
		}
	}
	reopen := make(map[string]int, len(visible))
	for _, folder := range visible {
		fd, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", folder, err)
		}
		defer unix.Close(fd)
		reopen[folder] = fd
	}
	for _, folder := range private {
		if err := unix.Mount("tmpfs", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
			return fmt.Errorf("hide %s: %w", folder, err)
		}
	}
	for _, folder := range visible {
		if !slices.ContainsFunc(private, func(hidden string) bool { return isBelow(folder, hidden) }) {
			continue
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(fmt.Sprintf("/proc/thread-self/fd/%d", reopen[folder]), folder, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("show %s: %w", folder, err)
		}
	}
	return nil
}

func isBelow(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// Enter moves the calling thread into the namespace. The thread must be
// locked and not be used for anything else afterwards.
func (s Space) Enter() error {
	fd, err := unix.Open(s.pin(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open mount namespace: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leave the shared working folder: %w", err)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter mount namespace: %w", err)
	}
	return nil
}

// Remove unmounts everything below the state folder, innermost first.
func (s Space) Remove() error {
	points, err := s.mountPoints()
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	for _, point := range points {
		if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return nil
}

func (s Space) mountPoints() ([]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var points []string
	for lines := bufio.NewScanner(file); ; {
		if !lines.Scan() {
			slices.SortFunc(points, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
			return points, lines.Err()
		}
		const mountPointField = 4
		if fields := strings.Fields(lines.Text()); len(fields) > mountPointField {
			if point := unescape(fields[mountPointField]); isBelow(point, s.layout.Dir) {
				points = append(points, point)
			}
		}
	}
}

// unescape undoes the kernel's notation for characters that would break the
// table of mounts into other fields.
func unescape(field string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(field)
}
