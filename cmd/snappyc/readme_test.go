package main

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler"
	"github.com/snappy-policy/snappy/runtime/audit"
)

func readme(t *testing.T) string {
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	return string(text)
}

// blocks are the code blocks of a language.
func blocks(text, language string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		if m[1] == language {
			out = append(out, m[2])
		}
	}
	return out
}

// TestReadmePolicies: the policies compile without errors and warnings.
func TestReadmePolicies(t *testing.T) {
	policies := blocks(readme(t), "snappy")
	require.NotEmpty(t, policies)
	for _, text := range policies {
		_, list := compiler.Compile(fstest.MapFS{"web.snp": {Data: []byte(text)}}, "web.snp", compiler.Options{CheckPasses: true})
		for _, d := range list {
			require.Equal(t, "note", d.Severity.String(), "%+v", d)
		}
	}
}

// TestReadmeTranscript: the reports are such as the first policy would cause.
func TestReadmeTranscript(t *testing.T) {
	text := readme(t)
	r, list := compiler.Compile(fstest.MapFS{"web.snp": {Data: []byte(blocks(text, "snappy")[0])}}, "web.snp", compiler.Options{})
	require.False(t, list.HasErrors(), "%+v", list)
	line := regexp.MustCompile(`(?m)^snappy: (denied|killed|audited) (\S+) (\S+) by (\S+):(\d+)( \(\S+\))?( default)? pid (\d+) (\S+)$`)
	reports := line.FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, reports)
	require.Len(t, regexp.MustCompile(`(?m)^snappy: `).FindAllString(text, -1), len(reports), "a report in another form")
	for _, m := range reports {
		e := audit.Event{Verdict: m[1], Operation: m[2], Path: &audit.Path{Text: m[3]}, Comm: m[9], Reason: "rule"}
		if m[7] != "" {
			e.Reason = "default"
		}
		pid, err := strconv.ParseUint(m[8], 10, 32)
		require.NoError(t, err)
		e.PID = uint32(pid)
		for _, rule := range r.File.Meta.Rules {
			if strconv.Itoa(int(rule.Line)) == m[5] {
				require.Equal(t, m[7] != "", strings.HasPrefix(rule.Verb, "default"), m[0])
				require.True(t, slices.ContainsFunc(rule.Ops, func(op string) bool { return op == m[2] || strings.HasPrefix(m[2], op+".") }), "%s: %v", m[0], rule.Ops)
				e.Rule = &audit.Rule{ID: rule.ID, Name: rule.Name, File: r.File.Meta.Sources[rule.File].Name, Line: rule.Line}
			}
		}
		require.NotNil(t, e.Rule, "%s: no rule begins there", m[0])
		require.Equal(t, m[0], "snappy: "+e.String())
	}
}

// TestReadmeCommands: the table lists the commands that exist, and their flags.
func TestReadmeCommands(t *testing.T) {
	_, section, found := strings.Cut(readme(t), "\n## Commands\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	root := newRoot()
	var listed, have []string
	for _, m := range regexp.MustCompile("(?m)^\\| `snappyc ([a-z]+)(.*)$").FindAllStringSubmatch(section, -1) {
		listed = append(listed, m[1])
		c, _, err := root.Find([]string{m[1]})
		require.NoError(t, err)
		for _, flag := range regexp.MustCompile(`--([a-z]+)`).FindAllStringSubmatch(m[2], -1) {
			require.NotNil(t, c.Flags().Lookup(flag[1]), "%s --%s", m[1], flag[1])
		}
		for _, flag := range regexp.MustCompile(`\[-([a-z])\b`).FindAllStringSubmatch(m[2], -1) {
			require.NotNil(t, c.Flags().ShorthandLookup(flag[1]), "%s -%s", m[1], flag[1])
		}
	}
	for _, c := range commands(root) {
		have = append(have, c.Name())
	}
	slices.Sort(listed)
	slices.Sort(have)
	require.Equal(t, have, listed)
}

// TestReadmeMake: the targets that it names are there.
func TestReadmeMake(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	targets := regexp.MustCompile(`\bmake ([a-z-]+)`).FindAllStringSubmatch(strings.Join(blocks(readme(t), "sh"), ""), -1)
	require.NotEmpty(t, targets)
	for _, m := range targets {
		require.Regexp(t, `(?m)^`+m[1]+`:`, string(makefile))
	}
}
