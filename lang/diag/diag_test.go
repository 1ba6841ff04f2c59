package diag

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/source"
)

func TestCodesAreUniqueSortedAndExplained(t *testing.T) {
	shape := regexp.MustCompile(`^SNP\d{4}$`)
	owned := [][2]Code{{"SNP0001", "SNP0299"}, {"SNP0300", "SNP0499"}, {"SNP0500", "SNP0699"}, {"SNP0700", "SNP0799"}}
	require.Len(t, tables, len(owned))
	for i, table := range tables {
		for _, c := range table {
			require.GreaterOrEqual(t, c.Code, owned[i][0])
			require.LessOrEqual(t, c.Code, owned[i][1])
		}
	}
	all := Codes()
	require.NotEmpty(t, all)
	for i, c := range all {
		require.Regexp(t, shape, string(c.Code))
		if i > 0 {
			require.Less(t, all[i-1].Code, c.Code, "sorted and unique")
		}
		require.NotEqual(t, "invalid", c.Severity.String(), c.Code)
		require.NotEmpty(t, c.Title, c.Code)
		require.False(t, strings.HasSuffix(c.Title, "."), c.Code)
		require.NotEmpty(t, c.Explanation, c.Code)
		require.NotEmpty(t, c.Bad, c.Code)
		require.NotEmpty(t, c.Good, c.Code)
		require.NotEqual(t, c.Bad, c.Good, c.Code)
		require.NotEmpty(t, c.Example(), c.Code)
		found, ok := Explain(c.Code)
		require.True(t, ok)
		require.Equal(t, c.Title, found.Title)
	}
	_, ok := Explain("SNP9999")
	require.False(t, ok)
}

func spanOf(text, marked string) source.Span {
	f := source.New("p.snp", text)
	i := strings.Index(text, marked)
	return source.Span{File: f, Start: i, End: i + len(marked)}
}

func render(t *testing.T, l List, opt TextOptions) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Text(&b, l, opt))
	return b.String()
}

func TestText(t *testing.T) {
	long := strings.Repeat("é", 500) + "HERE" + strings.Repeat("z", 500)
	for _, c := range []struct {
		name string
		d    Diagnostic
		want string
	}{
		{"span, help, related", Diagnostic{Code: "SNP0101", Severity: Error, Message: "no", Help: "do",
			Span: spanOf("policy p\nallow exec\n", "exec"), Related: []Related{{spanOf("policy p\n", "policy"), "here"}}},
			"p.snp:2:7: error[SNP0101]: no\n    allow exec\n          ^~~~\np.snp:1:1: note: here\n    policy p\n    ^~~~~~\nhelp: do\n"},
		{"tabs", Diagnostic{Code: "SNP0101", Severity: Warning, Message: "m", Span: spanOf("\tallow\texec\n", "exec")},
			"p.snp:1:8: warning[SNP0101]: m\n    \tallow\texec\n    \t     \t^~~~\n"},
		{"wide text before the span", Diagnostic{Code: "SNP0101", Severity: Error, Message: "m", Span: spanOf("\"é\" x", "x")},
			"p.snp:1:6: error[SNP0101]: m\n    \"é\" x\n        ^\n"},
		{"hidden characters", Diagnostic{Code: "SNP0005", Severity: Error, Message: "m\u202e", Span: spanOf("a\u202eb\xffc", "\u202e")},
			"p.snp:1:2: error[SNP0005]: m<U+202E>\n    a<U+202E>b<FF>c\n     ^~~~~~~~\n"},
		{"empty span at the end", Diagnostic{Code: "SNP0101", Severity: Error, Message: "m", Span: source.Span{File: source.New("p.snp", "abc"), Start: 3, End: 3}},
			"p.snp:1:4: error[SNP0101]: m\n    abc\n       ^\n"},
		{"several lines", Diagnostic{Code: "SNP0101", Severity: Error, Message: "m", Span: spanOf("a {\n}\n", "{\n}")},
			"p.snp:1:3: error[SNP0101]: m\n    a {\n      ^\n"},
		{"long line", Diagnostic{Code: "SNP0101", Severity: Error, Message: "m", Span: spanOf(long, "HERE")},
			"p.snp:1:1001: error[SNP0101]: m\n    …" + strings.Repeat("é", 40) + "HERE" + strings.Repeat("z", 76) + "…\n    " + strings.Repeat(" ", 41) + "^~~~\n"},
		{"nowhere", Diagnostic{Code: "SNP0700", Severity: Note, Message: "m"}, "note[SNP0700]: m\n"},
	} {
		require.Equal(t, c.want, render(t, List{c.d}, TextOptions{}), c.name)
	}
}

func TestTextColorOnlyAddsEscapes(t *testing.T) {
	l := List{{Code: "SNP0101", Severity: Error, Message: "no", Span: spanOf("allow exec\n", "exec")}}
	colored := render(t, l, TextOptions{Color: true})
	require.Contains(t, colored, "\x1b[1;31merror[SNP0101]\x1b[0m")
	require.Equal(t, render(t, l, TextOptions{}), regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(colored, ""))
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, JSON(&b, List{
		{Code: "SNP0101", Severity: Error, Message: "<no>", Help: "do", Span: spanOf("policy p\nallow exec\n", "exec\n"),
			Related: []Related{{spanOf("policy p\n", "policy"), "here"}}},
		{Code: "SNP0700", Severity: Note, Message: "m"},
	}))
	require.JSONEq(t, `[
	{"code":"SNP0101","severity":"error","message":"<no>","file":"p.snp","line":2,"column":7,"endLine":3,"endColumn":1,"help":"do",
	 "related":[{"message":"here","file":"p.snp","line":1,"column":1,"endLine":1,"endColumn":7}]},
	{"code":"SNP0700","severity":"note","message":"m","file":"","line":0,"column":0,"endLine":0,"endColumn":0,"help":"","related":[]}]`, b.String())
	b.Reset()
	require.NoError(t, JSON(&b, nil))
	require.Equal(t, "[]\n", b.String())
	require.True(t, json.Valid(b.Bytes()))
}

func TestSuggest(t *testing.T) {
	words := []string{"allow", "deny", "default", "file.open", "file.read", "net.connect", "in"}
	for name, want := range map[string]string{
		"denny": "deny", "dney": "deny", "alow": "allow", "file.opne": "file.open", "file.raed": "file.read",
		"net.conect": "net.connect", "defualt": "default", "xyzzy": "", "": "", "i": "", "deny": "",
		strings.Repeat("a", 1000): "",
	} {
		require.Equal(t, want, Suggest(name, words), name)
	}
	require.Equal(t, "abcd", Suggest("abce", []string{"abcd", "abcf"}), "the first of equally near candidates")
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abcdef", "badcfe", 3}} {
		require.Equal(t, c.want, editDistance(c.a, c.b, 10), c)
		require.Equal(t, c.want, editDistance(c.b, c.a, 10), c)
		if c.want > 0 {
			require.Greater(t, editDistance(c.a, c.b, c.want-1), c.want-1, c)
		}
	}
}

func TestSARIF(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, SARIF(&b, List{
		{Code: UnexpectedToken, Severity: Error, Message: "no", Help: "do", Span: spanOf("policy p\n\"é\" exec\n", "exec"),
			Related: []Related{{spanOf("policy p\n", "policy"), "here"}}},
		{Code: TooManyErrors, Severity: Note, Message: "m"},
	}))
	var log struct {
		Version string
		Runs    []struct {
			ColumnKind string
			Tool       struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID, Level string
				Message       struct{ Text string }
				Locations     []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine, StartColumn, EndLine, EndColumn int }
					}
				}
				RelatedLocations []struct{ Message struct{ Text string } }
			}
		}
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &log))
	require.Equal(t, "2.1.0", log.Version)
	require.Len(t, log.Runs, 1)
	run := log.Runs[0]
	require.Equal(t, "unicodeCodePoints", run.ColumnKind)
	require.Len(t, run.Tool.Driver.Rules, 2)
	require.Equal(t, "SNP0101", run.Tool.Driver.Rules[0].ID)
	require.Len(t, run.Results, 2)
	r := run.Results[0]
	require.Equal(t, []string{"SNP0101", "error", "no\ndo"}, []string{r.RuleID, r.Level, r.Message.Text})
	require.Len(t, r.Locations, 1)
	require.Equal(t, "p.snp", r.Locations[0].PhysicalLocation.ArtifactLocation.URI)
	region := r.Locations[0].PhysicalLocation.Region
	require.Equal(t, [4]int{2, 5, 2, 9}, [4]int{region.StartLine, region.StartColumn, region.EndLine, region.EndColumn})
	require.Equal(t, "here", r.RelatedLocations[0].Message.Text)
	require.Equal(t, "note", run.Results[1].Level)
	require.Empty(t, run.Results[1].Locations)
}
