package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

const reference = "../../docs/cli.md"

// commands are those of SNAPPY: cobra adds some of its own.
func commands(root *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, c := range root.Commands() {
		if c.Name() != "help" && c.Name() != "completion" {
			out = append(out, c)
		}
	}
	return out
}

// page is docs/cli.md.
func page() string {
	var b strings.Builder
	root := newRoot()
	fmt.Fprintf(&b, `# The command snappyc

<!-- Generated from cmd/snappyc by "make docs". -->

%s

Exit codes: 0 success; 1 the policy or the host failed (errors in a policy, doctor found something missing, a file
cannot be written); 2 wrong usage. `+"`snappyc run`"+` ends as its command does, and has codes of its own: see there.
Diagnostics and reports go to standard error, what was asked for to standard output.

| command | |
|---|---|
`, root.Long)
	for _, c := range commands(root) {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", c.Name(), c.Name(), c.Short)
	}
	for _, c := range commands(root) {
		text := c.Long
		if text == "" {
			text = c.Short + "."
		}
		fmt.Fprintf(&b, "\n## %s\n\n```\nsnappyc %s\n```\n\n%s\n", c.Name(), c.Use, strings.TrimSpace(indented(text)))
		if c.LocalFlags().HasAvailableFlags() {
			b.WriteString("\n| flag | |\n|---|---|\n")
			c.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if f.Name == "help" {
					return
				}
				name := "`--" + f.Name
				value, usage := pflag.UnquoteUsage(f)
				if value != "" {
					name += " " + strings.ToUpper(value)
				}
				name += "`"
				if f.Shorthand != "" {
					name = "`-" + f.Shorthand + "`, " + name
				}
				fmt.Fprintf(&b, "| %s | %s |\n", name, usage)
			})
		}
	}
	return b.String()
}

// indented makes code blocks of indented lines.
func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  ") {
			line = "  " + line
		}
		b.WriteString(line)
	}
	return b.String()
}

// TestReference: docs/cli.md is what the commands say of themselves.
func TestReference(t *testing.T) {
	if *update {
		require.NoError(t, os.WriteFile(reference, []byte(page()), 0o644))
	}
	text, err := os.ReadFile(reference)
	require.NoError(t, err)
	require.Equal(t, page(), string(text), "run make docs")
}
