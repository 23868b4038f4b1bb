// Package cli is the command line of localcluster.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/grpclog"

	"tenantry.dev/localcluster/internal/cluster"
	"tenantry.dev/localcluster/internal/state"
)

// Exit codes.
const (
	success = 0
	failure = 1
	misuse  = 2
	// As shells have it, for `exec`.
	cannotExecute   = 126
	commandNotFound = 127
)

// usageError marks a command line that was not understood.
type usageError struct{ error }

// Run executes the command line and returns the exit code.
func Run(arguments []string, stdout, stderr io.Writer) int {
	// Connections that fail are what waiting consists of, and not worth a line
	// each.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot(stdout, stderr)
	root.SetArgs(arguments)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return success
	case errors.Is(err, cluster.ErrUnhealthy):
		return failure // The status says it all.
	}
	fmt.Fprintf(stderr, "localcluster: %v\n", err)
	switch {
	case errors.As(err, &usage):
		return misuse
	case errors.Is(err, cluster.ErrCannotExecute):
		return cannotExecute
	case errors.Is(err, cluster.ErrCommandNotFound):
		return commandNotFound
	default:
		return failure
	}
}

// target is the cluster that a command acts on.
type target struct {
	name, stateDir string
	timeout        time.Duration
	stderr         io.Writer
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	t := &target{stderr: stderr}
	root := &cobra.Command{
		Use:           "localcluster",
		Short:         "A real Kubernetes for laptops and tests",
		Args:          noArguments,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("no command given; fix: localcluster --help")}
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringVar(&t.name, "name", state.DefaultName, "name of the cluster")
	root.PersistentFlags().StringVar(&t.stateDir, "state-dir", "", "folder of the cluster's state (default: one by the cluster's name)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newUp(t, stdout),
		newDown(t),
		newStatus(t, stdout),
		newLoad(t),
		newKubeconfig(t, stdout),
		newExec(t),
		newVersion(stdout),
	)
	return root
}

// cluster resolves the flags that every command has.
func (t *target) cluster() (*cluster.Cluster, error) {
	layout, err := state.Resolve(t.name, t.stateDir)
	if err != nil {
		return nil, usageError{err}
	}
	return &cluster.Cluster{
		Layout:   layout,
		Progress: func(line string) { fmt.Fprintf(t.stderr, "localcluster: %s\n", line) },
	}, nil
}

// addTimeout gives the command a total deadline.
func (t *target) addTimeout(command *cobra.Command, value time.Duration) {
	command.Flags().DurationVar(&t.timeout, "timeout", value, "give up after this long")
}

func (t *target) deadline(parent context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(parent, t.timeout, fmt.Errorf("gave up after %s", t.timeout))
}

// noArguments also catches misspelt commands, which arrive as arguments.
func noArguments(_ *cobra.Command, arguments []string) error {
	if len(arguments) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q; fix: localcluster --help", strings.Join(arguments, " "))}
	}
	return nil
}
