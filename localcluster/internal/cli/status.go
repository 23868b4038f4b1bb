package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tenantry.dev/localcluster/internal/cluster"
)

func newStatus(t *target, stdout io.Writer) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:   "status",
		Short: "Show how each component does; exit 0 when all are healthy",
		Args:  noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("unknown output %q; fix: -o text or -o json", output)}
			}
			c, err := t.cluster()
			if err != nil {
				return err
			}
			ctx, cancel := t.deadline(command.Context())
			defer cancel()
			status, err := c.Status(ctx)
			if err != nil {
				return err
			}
			if err := printStatus(stdout, output, status); err != nil {
				return err
			}
			if !status.Healthy {
				return cluster.ErrUnhealthy
			}
			return nil
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	t.addTimeout(command, 20*time.Second)
	return command
}

func printStatus(stdout io.Writer, output string, status cluster.Status) error {
	if output == "json" {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(status)
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, component := range status.Components {
		fmt.Fprintf(table, "%s\t%s", component.Name, component.State)
		if component.Detail != "" {
			fmt.Fprintf(table, "\t%s", component.Detail)
		}
		fmt.Fprintln(table)
	}
	fmt.Fprintf(table, "kubeconfig\t%s\n", status.Kubeconfig)
	return table.Flush()
}

func newKubeconfig(t *target, stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the path of the kubeconfig",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			c, err := t.cluster()
			if err != nil {
				return err
			}
			path, err := c.Kubeconfig()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(stdout, path)
			return err
		},
	}
}
