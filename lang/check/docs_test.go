package check_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/types"
)

const reference = "../../docs/language.md"

// Every snippet of the reference is checked. A ```snappy block has nothing to
// report but the note about mounts; ```snappy-error CODE and ```snappy-warning
// CODE earn that code, and no other error. A block without policy statement is
// the rest of one; a block in txtar form has several files.
func TestReferenceSnippets(t *testing.T) {
	text, err := os.ReadFile(reference)
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?ms)^```snappy(-error|-warning)?(?: (SNP\\d{4}))?\n(.*?)^```$").FindAllSubmatchIndex(text, -1)
	require.Equal(t, strings.Count(string(text), "```snappy"), len(blocks), "a block is malformed")
	require.Greater(t, len(blocks), 30)
	for _, b := range blocks {
		part := func(i int) string {
			if b[2*i] < 0 {
				return ""
			}
			return string(text[b[2*i]:b[2*i+1]])
		}
		line := 1 + strings.Count(string(text[:b[0]]), "\n")
		t.Run(fmt.Sprintf("line %d", line), func(t *testing.T) {
			kind, code, snippet := part(1), diag.Code(part(2)), part(3)
			if !regexp.MustCompile(`(?m)^policy `).MatchString(snippet) {
				snippet = "policy doc\n" + snippet
			}
			_, list := checkText(t, snippet)
			got := codesOf(list)
			delete(got, diag.PathsMovable)
			switch kind {
			case "":
				require.Empty(t, code)
				require.Empty(t, got, "%v", list)
			case "-error":
				require.Equal(t, map[diag.Code]diag.Severity{code: diag.Error}, got, "%v", list)
			case "-warning":
				require.Equal(t, map[diag.Code]diag.Severity{code: diag.Warning}, got, "%v", list)
			}
		})
	}
}

// Codes that the reference names exist.
func TestReferenceCodes(t *testing.T) {
	text, err := os.ReadFile(reference)
	require.NoError(t, err)
	for _, code := range regexp.MustCompile(`SNP\d{4}`).FindAllString(string(text), -1) {
		_, ok := diag.Explain(diag.Code(code))
		require.True(t, ok, code)
	}
}

// The list of operations and fields is written from the schema.
func TestReferenceOperations(t *testing.T) {
	text, err := os.ReadFile(reference)
	require.NoError(t, err)
	const begin, end = "<!-- begin generated: operations -->\n", "<!-- end generated: operations -->\n"
	head, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	got, tail, ok := strings.Cut(rest, end)
	require.True(t, ok)
	want := operationsText(types.Language())
	if *update {
		require.NoError(t, os.WriteFile(reference, []byte(head+begin+want+end+tail), 0o644))
		return
	}
	require.Equal(t, want, got, "run with -update")
}

func operationsText(s *types.Schema) string {
	var b strings.Builder
	table := func(fields []*types.Field) {
		if len(fields) == 0 {
			return
		}
		b.WriteString("| field | type | |\n|---|---|---|\n")
		for _, f := range fields {
			kind := f.Kind.String()
			if f.Enum != nil {
				kind += " (" + f.Enum.Name + ")"
			}
			doc := f.Doc
			if f.Unsupported != "" {
				doc += " — *not supported yet*"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, kind, doc)
		}
		b.WriteByte('\n')
	}
	b.WriteString("The subject is the calling process; every operation has its fields.\n\n")
	table(s.Subject)
	for _, o := range s.Operations {
		if o.Unsupported != "" {
			continue
		}
		fmt.Fprintf(&b, "### `%s`\n\n%s. A denial is `%s` by default.\n\n", o.Name, strings.ToUpper(o.Doc[:1])+o.Doc[1:], o.Errno)
		table(o.Fields)
	}
	b.WriteString("### Operations that are not supported yet\n\n| operation | |\n|---|---|\n")
	for _, o := range s.Operations {
		if o.Unsupported != "" {
			fmt.Fprintf(&b, "| `%s` | %s |\n", o.Name, o.Doc)
		}
	}
	b.WriteString("\n### Groups\n\n| group | operations | |\n|---|---|---|\n")
	for _, g := range s.Groups {
		state := "complete"
		if n := len(g.Unsupported()); n == len(g.Ops) {
			state = "not supported yet"
		} else if n > 0 {
			state = fmt.Sprintf("refused: %d of %d operations are not supported yet", n, len(g.Ops))
		}
		var names []string
		for _, o := range g.Ops {
			names = append(names, "`"+o.Name+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", g.Name, strings.Join(names, ", "), state)
	}
	b.WriteString("\n### Constants\n\nNumbers are those of amd64; of the open flags, `O_DIRECT`, `O_LARGEFILE`, `O_DIRECTORY`, `O_NOFOLLOW` and `O_TMPFILE` differ on arm64.\n\n| kind | values |\n|---|---|\n")
	for _, e := range append(s.Enums[:len(s.Enums):len(s.Enums)], s.Errnos) {
		if e.Name == types.EnumCaps {
			b.WriteString("| caps | the names of cap; bit 1<<number |\n")
			continue
		}
		var values []string
		for _, v := range e.Values {
			values = append(values, fmt.Sprintf("`%s` %d", v.Name, v.Value))
		}
		fmt.Fprintf(&b, "| %s | %s |\n", e.Name, strings.Join(values, ", "))
	}
	return b.String()
}
