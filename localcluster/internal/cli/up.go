package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tenantry.dev/localcluster/internal/cluster"
	"tenantry.dev/localcluster/internal/state"
)

func newUp(t *target, stdout io.Writer) *cobra.Command {
	var controlPlaneOnly bool
	options := cluster.UpOptions{Mode: state.Full}
	command := &cobra.Command{
		Use:   "up",
		Short: "Start the cluster, or mend it, and print the path of its kubeconfig",
		Args:  noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := t.cluster()
			if err != nil {
				return err
			}
			if controlPlaneOnly {
				options.Mode = state.ControlPlaneOnly
				if len(options.Images) > 0 {
					return usageError{fmt.Errorf("--image needs a node, which --control-plane-only leaves out")}
				}
			}
			for _, argument := range options.APIServerArgs {
				if flag, _, found := strings.Cut(argument, "="); !found || flag == "" || strings.HasPrefix(flag, "-") {
					return usageError{fmt.Errorf("--apiserver-arg %q is not of the form flag=value", argument)}
				}
			}
			options.Now = time.Now()
			ctx, cancel := t.deadline(command.Context())
			defer cancel()
			kubeconfig, err := c.Up(ctx, options)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(stdout, kubeconfig)
			return err
		},
	}
	command.Flags().BoolVar(&controlPlaneOnly, "control-plane-only", false, "only etcd, API server and controller manager, on loopback, without root")
	command.Flags().StringArrayVar(&options.Images, "image", nil, "OCI archive to import before workloads start, PATH or PATH=REFERENCE; can be given again")
	command.Flags().StringArrayVar(&options.APIServerArgs, "apiserver-arg", nil, "further flag of the API server, flag=value; can be given again, not remembered")
	t.addTimeout(command, 3*time.Minute)
	return command
}

func newDown(t *target) *cobra.Command {
	command := &cobra.Command{
		Use:   "down",
		Short: "Remove the cluster and every trace of it",
		Args:  noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := t.cluster()
			if err != nil {
				return err
			}
			ctx, cancel := t.deadline(command.Context())
			defer cancel()
			return c.Down(ctx)
		},
	}
	t.addTimeout(command, time.Minute)
	return command
}
