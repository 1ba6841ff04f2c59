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
				err := fmt.Errorf("no code %q", args[0])
				if s := diag.Suggest(string(code), all); s != "" {
					err = fmt.Errorf("%w: did you mean %s?", err, s)
				}
				return usageError{err}
			}
			printCode(c.OutOrStdout(), info)
			return nil
		},
	}
}

func printCode(w io.Writer, info diag.CodeInfo) {
	fmt.Fprintf(w, "%s (%s): %s\n\n%s\n", info.Code, info.Severity, info.Title, strings.TrimSpace(info.Explanation))
	for _, e := range []struct{ title, text string }{{"For example:", info.Bad}, {"Better:", info.Good}} {
		if e.text == "" {
			continue
		}
		fmt.Fprintf(w, "\n%s\n\n", e.title)
		for line := range strings.Lines(strings.TrimSpace(e.text) + "\n") {
			fmt.Fprintf(w, "    %s", line)
		}
	}
}
