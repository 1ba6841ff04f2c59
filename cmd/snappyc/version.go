package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the versions of the program and its formats", Args: noArgs,
		RunE: func(c *cobra.Command, args []string) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "snappyc %s (object format %d, kernel ABI %d, %s %s/%s)\n",
				version, object.MetaVersion, abi.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
