package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
)

func newExec(t *target) *cobra.Command {
	command := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command inside the cluster's network, with KUBECONFIG set",
		Args: func(_ *cobra.Command, arguments []string) error {
			if len(arguments) == 0 {
				return usageError{errors.New("no command to run given; fix: localcluster exec -- COMMAND")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, arguments []string) error {
			c, err := t.cluster()
			if err != nil {
				return err
			}
			return c.Exec(arguments)
		},
	}
	// What follows the command belongs to it.
	command.Flags().SetInterspersed(false)
	return command
}

func newLoad(t *target) *cobra.Command {
	command := &cobra.Command{
		Use:   "load IMAGE",
		Short: "Import an OCI archive, PATH or PATH=REFERENCE, unless it is there already",
		Args: func(_ *cobra.Command, arguments []string) error {
			if len(arguments) != 1 {
				return usageError{errors.New("give exactly one image archive; fix: localcluster load PATH")}
			}
			return nil
		},
		RunE: func(command *cobra.Command, arguments []string) error {
			c, err := t.cluster()
			if err != nil {
				return err
			}
			ctx, cancel := t.deadline(command.Context())
			defer cancel()
			return c.Load(ctx, arguments[0])
		},
	}
	t.addTimeout(command, 5*time.Minute)
	return command
}
