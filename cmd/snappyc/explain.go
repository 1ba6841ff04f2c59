package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/snappy-policy/snappy/lang/diag"
)

func newExplain() *cobra.Command {
	return &cobra.Command{
		Use: "explain CODE", Short: "Explain a diagnostic code, such as SNP0301",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("explain needs one code")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			code := diag.Code(strings.ToUpper(args[0]))
			info, ok := diag.Explain(code)
			if !ok {
				var all []string
				for _, i := range diag.Codes() {
					all = append(all, string(i.Code))
				}
				return usageError{unknown("code", args[0], all)}
			}
			return printCode(c.OutOrStdout(), info)
		},
	}
}

func printCode(w io.Writer, info diag.CodeInfo) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s\n\n%s\n", info.Code, info.Severity, info.Title, strings.TrimSpace(info.Explanation))
	for _, e := range []struct{ title, text string }{{"For example:", info.Bad}, {"Better:", info.Good}} {
		if e.text == "" {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n\n", e.title)
		for line := range strings.Lines(strings.TrimSpace(e.text) + "\n") {
			if strings.TrimSpace(line) != "" {
				b.WriteString("    ")
			}
			b.WriteString(line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
