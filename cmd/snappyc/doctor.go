package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"github.com/snappy-policy/snappy/kernel/probe"
)

func newDoctor() *cobra.Command {
	var quiet bool
	var form string
	c := &cobra.Command{
		Use: "doctor", Short: "Tell whether this host can enforce policies, and what is missing", Args: noArgs,
		Long: `doctor looks at the kernel, its configuration and the privileges of the caller,
and tries out what enforcement needs: a program that allows everything is
attached for a moment. What is missing is listed with how to get it. It exits
with 0 if policies can be enforced here and now, else with 1.`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("format", form, "text", "json"); err != nil {
				return err
			}
			report := probe.Run(probe.Options{})
			var err error
			switch {
			case quiet:
			case form == "json":
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				e.SetEscapeHTML(false)
				err = e.Encode(report)
			default:
				_, err = io.WriteString(c.OutOrStdout(), report.String())
			}
			if err == nil && !report.Ready() {
				err = exitError{1}
			}
			return err
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing; the exit code tells")
	c.Flags().StringVar(&form, "format", "text", "text or json")
	return c
}
