package diag

import (
	"fmt"
	"strings"
)

// Codes of the compiler behind the checker: limits (SNP050x) and what this
// version cannot enforce (SNP060x).
const (
	TablesTooLarge     Code = "SNP0501"
	PatternsTooComplex Code = "SNP0502"
	SetsTooComplex     Code = "SNP0503"
	ProgramTooLarge    Code = "SNP0504"
	CompilerBug        Code = "SNP0599"

	UnresolvableValue Code = "SNP0601"
)

// compilerCodes explains the codes of the compiler (SNP05xx, SNP06xx).
var compilerCodes = []CodeInfo{
	{Code: TablesTooLarge, Severity: Error, Title: "decision tables too large",
		Explanation: `What the policy says about each combination of its patterns is kept in tables, of at most 4 MiB for each kernel hook. Patterns
that overlap in many ways, such as hundreds of directories and hundreds of file names in any directory, have too many combinations.

Use fewer distinct patterns, put those that are treated alike into one set, or divide the rules into two policies that are stacked.`,
		Bad:      "policy p\ndeny file.rename when path under \"/srv/a1\" and to matches \"**/b1\"\n# … hundreds more, over both paths\n",
		Generate: manyPairs,
		Good:     "policy p\nset from = path { \"/srv/a1\", \"/srv/a2\" }\nset into = path { \"**/b1\", \"**/b2\" }\ndeny file.rename when path in from and to in into\n"},
	{Code: PatternsTooComplex, Severity: Error, Title: "path patterns too complex",
		Explanation: `All patterns over the paths of a hook are matched at once, in one pass over the path. A pattern with a * or ** that is followed
by many ? or brackets has to remember where it might have begun, which doubles the work with each of them.

Say what comes behind the star by exact text, or match more and narrow it down by another condition.`,
		Bad:  "policy p\ndeny exec when path matches \"/opt/*a????????????????????????????\"\n",
		Good: "policy p\ndeny exec when path matches \"/opt/*a*\"\n"},
	{Code: SetsTooComplex, Severity: Error, Title: "ranges or networks overlap in too many ways",
		Explanation: `Thousands of rules whose ranges or networks lie inside one another have too many combinations of rules that hold at once.

Put ranges that are treated alike into one set.`,
		Bad: "policy p\ndeny net.connect when port < 2\ndeny net.connect when port < 3\n# … thousands more\n",
		Generate: func() string {
			var b strings.Builder
			b.WriteString("policy p\n")
			for i := range 3000 {
				fmt.Fprintf(&b, "deny net.connect when port < %d\n", i+2)
			}
			return b.String()
		},
		Good: "policy p\ndeny net.connect when port < 3002\n"},
	{Code: ProgramTooLarge, Severity: Error, Title: "program too large",
		Explanation: `The rules over one kernel hook become one program, of at most 250,000 instructions: kernels verify no more than a million, some of
them twice. Paths, names, addresses and single numbers take none to speak of, however many there are. Arithmetic and
comparisons between fields take some for each rule, and so do rules over several fields at once that share no values.

Divide the policy into two that are stacked, or say less by arithmetic.`,
		Bad: "policy p\ndeny exec when uid/3 + gid/3 + ppid/3 == 7\n# … thousands more, with long sums\n",
		Generate: func() string {
			var b strings.Builder
			b.WriteString("policy p\n")
			for i := range 500 {
				fmt.Fprintf(&b, "deny exec when %d%s == 7\n", i, strings.Repeat(" + uid / 3 + gid / 7", 60))
			}
			return b.String()
		},
		Good: "policy p\ndeny exec when uid/3 + gid/3 + ppid/3 == 7\n"},
	{Code: CompilerBug, Severity: Error, Title: "fault of the compiler",
		Explanation: `The compiler came upon a contradiction in itself. Nothing is compiled. No policy should earn this code; please report the one that did.`,
		Bad:         "policy p\n# there is no example: whatever earns this code is a fault to be mended\n",
		Good:        "policy p\n"},
	{Code: UnresolvableValue, Severity: Error, Title: "value that may be unresolved is computed with",
		Explanation: `The kernel may fail to give the address or port of a socket operation, when the caller passes too few bytes or an address family
with a layout of its own. Such a value can be compared with constants, ranges and sets: then the condition is unresolved and
counts against the event. Arithmetic on it, and comparing it with another field, have no such answer in this version.`,
		Bad:  "policy p\ndeny net.connect when port == uid\n",
		Good: "policy p\ndeny net.connect when port == 1000 and uid == 1000\n"},
}

// manyPairs is a policy over so many pairs of paths that its tables are too large.
func manyPairs() string {
	var b strings.Builder
	b.WriteString("policy p\ndefault deny for file.rename\n")
	for i := range 340 {
		dir := fmt.Sprintf("\"/srv/some/long/directory/name/of/project/number-%d\"", i)
		file := fmt.Sprintf("\"**/some-long-file-name-that-is-found-in-many-places-%d\"", i)
		fmt.Fprintf(&b, "deny file.rename when path under %s and to matches %s\n", dir, file)
		fmt.Fprintf(&b, "audit file.rename when path matches %s and to under %s\n", file, dir)
		fmt.Fprintf(&b, "allow file.rename when path matches %s and to matches %s\n", file, file)
	}
	return b.String()
}
