package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/component-base/version"
)

func newVersion(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of Kubernetes inside",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(stdout, "localcluster with Kubernetes %s\n", version.Get().GitVersion)
			return err
		},
	}
}
