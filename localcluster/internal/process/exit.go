package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pollSlice is how long a wait for an exit sleeps before it looks at its
// context.
const pollSlice = 50

// AwaitExit returns when the process has ended, with its files and sockets
// closed, or ctx is done.
func AwaitExit(ctx context.Context, p Process) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	if stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "stat")); err == nil {
		if parsed, err := parseStat(string(stat)); err == nil && parsed.startTime != p.StartTime {
			return nil
		}
	}
	return awaitExit(ctx, fd)
}

func awaitExit(ctx context.Context, fd int) error {
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, pollSlice)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("watch process: %w", err)
		}
		if ready > 0 {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// Settle returns when every process that is exiting now has ended.
//
// Between its death and its end a process has no environment any more, so
// nobody can tell whose it is, but it still has its sockets and locks. Whoever
// starts a component right after the earlier one was killed needs those.
func Settle(ctx context.Context) error {
	pids, err := list()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			continue // It has ended.
		}
		if stat, err := parseStat(string(content)); err == nil && stat.exiting {
			if err := AwaitExit(ctx, Process{PID: pid, StartTime: stat.startTime}); err != nil {
				return err
			}
		}
	}
	return nil
}

// list returns the ids of all processes.
func list() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// stat is what is read of /proc/PID/stat.
type stat struct {
	session   int
	startTime uint64
	exiting   bool
}

// parseStat counts fields from the last parenthesis: the second one is the
// program's name in parentheses, which may hold spaces and parentheses.
func parseStat(line string) (stat, error) {
	const (
		firstAfterName = 3
		sessionField   = 6
		flagsField     = 9
		startTimeField = 22
		flagExiting    = 0x4
	)
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) <= startTimeField-firstAfterName {
		return stat{}, fmt.Errorf("too few fields in %q", line)
	}
	session, err := strconv.Atoi(fields[sessionField-firstAfterName])
	if err != nil {
		return stat{}, fmt.Errorf("session in %q: %w", line, err)
	}
	flags, err := strconv.ParseUint(fields[flagsField-firstAfterName], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("flags in %q: %w", line, err)
	}
	startTime, err := strconv.ParseUint(fields[startTimeField-firstAfterName], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("start time in %q: %w", line, err)
	}
	return stat{session: session, startTime: startTime, exiting: flags&flagExiting != 0}, nil
}
