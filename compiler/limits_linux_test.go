package compiler_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
)

// childEnv names the input that the test binary compiles as a child process.
const childEnv = "COMPILER_TEST_INPUT"

// The budgets of one compilation, and by how much a busy machine may exceed them.
const (
	timeBudget   = time.Second
	memoryBudget = 300 << 20
	slack        = 3
)

// measured is what the child tells.
type measured struct {
	Object, Instructions int
	Took                 time.Duration
	Errors               []string // code and position
}

// input is a large policy, or a hostile one.
type input struct {
	text func() string
	// want is the code and position of the only error, "" if the policy compiles.
	want string
	// bounded inputs are hostile: they may take this many times the budgets.
	times int
}

func list(n int, member func(i int) string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(member(i))
	}
	return b.String()
}

func example(c diag.Code) func() string {
	return func() string {
		info, _ := diag.Explain(c)
		return info.Example()
	}
}

var inputs = map[string]input{
	"10,000 literal paths": {text: func() string {
		return many(check.MaxRules, func(i int) string { return fmt.Sprintf("deny file.open when path == \"/srv/d%d/file%d\"", i%97, i) })
	}},
	"10,000 globs": {text: func() string {
		return many(check.MaxRules, func(i int) string {
			return fmt.Sprintf("deny file.open when path matches \"/srv/d%d/*/f%d.*\"", i%97, i)
		})
	}, times: 2},
	"10,000 paths at twelve hooks": {text: func() string {
		return many(check.MaxRules, func(i int) string { return fmt.Sprintf("deny file.change when path under \"/srv/d%d/f%d\"", i%97, i) })
	}, times: 6},
	"10,000 networks": {text: func() string {
		return many(check.MaxRules, func(i int) string { return fmt.Sprintf("deny net.connect when addr in 10.%d.%d.0/24", i/256, i%256) })
	}},
	"10,000 ports": {text: func() string {
		return many(check.MaxRules, func(i int) string { return fmt.Sprintf("deny net.connect when port == %d", i+1) })
	}},
	"10,000 computed conditions": {text: func() string {
		return many(check.MaxRules, func(i int) string { return fmt.Sprintf("deny exec when uid*%d + gid > %d", i+2, i) })
	}, times: 3},
	"100,000 members": {text: func() string {
		return "policy p\nset ids = int { " + list(check.MaxMembers, func(i int) string { return fmt.Sprint(2 * i) }) + " }\ndeny exec when uid in ids\n"
	}},
	"100,001 members": {text: func() string {
		return "policy p\nset ids = int { " + list(check.MaxMembers+1, func(i int) string { return fmt.Sprint(2 * i) }) + " }\ndeny exec when uid in ids\n"
	}, want: "SNP0402 input.snp:2:"},
	"10,001 rules": {text: func() string {
		return many(check.MaxRules+1, func(int) string { return "deny exec" })
	}, want: "SNP0401 input.snp:1:1"},
	"100,000 rules":  {text: func() string { return many(100_000, func(int) string { return "deny exec" }) }, want: "SNP0401 input.snp:1:1"},
	"2 MiB":          {text: func() string { return many(100_000, func(int) string { return "deny exec when uid == 0" }) }, want: "SNP0001 input.snp:1:1"},
	"exploding glob": {text: example(diag.PatternsTooComplex), want: "SNP0502 input.snp:2:16", times: 4},
	"an exploding glob among others": {text: func() string {
		return many(1000, func(i int) string {
			if i == 500 {
				return "deny exec when path matches \"/opt/**a" + strings.Repeat("?", 40) + "\""
			}
			return fmt.Sprintf("deny exec when path matches \"/srv/*/f%d\"", i)
		})
	}, want: "SNP0502 input.snp:502:16", times: 8},
	"tables":        {text: example(diag.TablesTooLarge), want: "SNP0501 input.snp:3:1", times: 10},
	"nested ranges": {text: example(diag.SetsTooComplex), want: "SNP0503 input.snp:2:23"},
	"long program":  {text: example(diag.ProgramTooLarge), want: "SNP0504 input.snp:", times: 10},
	"conditions that share nothing": {text: func() string {
		return many(2000, func(i int) string {
			return fmt.Sprintf("deny exec when uid == %d and path under \"/a%d\" or gid * %d == pid", i, i*7%1000, i+1)
		})
	}, want: "SNP0504", times: 20},
}

// TestCompileChild compiles one input; it is run by TestLargeAndHostileInputs.
func TestCompileChild(t *testing.T) {
	name := os.Getenv(childEnv)
	if name == "" {
		return
	}
	text := inputs[name].text()
	start := time.Now()
	r, found := compileText(text)
	m := measured{Took: time.Since(start), Object: len(r.Object)}
	if r.File != nil {
		for _, p := range r.File.Programs {
			m.Instructions += len(p.Code)
		}
	}
	for _, d := range found {
		if d.Severity == diag.Error {
			m.Errors = append(m.Errors, fmt.Sprintf("%s %s", d.Code, d.Span))
		}
	}
	out, err := json.Marshal(m)
	require.NoError(t, err)
	fmt.Printf("\n%s\n", out)
}

// TestLargeAndHostileInputs compiles each input in a process of its own: it
// takes bounded time and memory, and what is beyond a limit is refused with its
// code and position.
func TestLargeAndHostileInputs(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		in := inputs[name]
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestCompileChild$")
			cmd.Env = append(os.Environ(), childEnv+"="+name)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			var m measured
			for line := range strings.Lines(string(out)) {
				if strings.HasPrefix(line, "{") {
					require.NoError(t, json.Unmarshal([]byte(line), &m))
				}
			}
			rss := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
			t.Logf("%s in %.2fs with %d MiB: object %d bytes, %d instructions, %v",
				name, m.Took.Seconds(), rss>>20, m.Object, m.Instructions, m.Errors)
			if in.want == "" {
				require.Empty(t, m.Errors)
				require.Positive(t, m.Object)
			} else {
				require.Len(t, m.Errors, 1)
				require.True(t, strings.HasPrefix(m.Errors[0], in.want), "%s, want %s", m.Errors[0], in.want)
				require.Zero(t, m.Object)
			}
			times := max(in.times, 1)
			// Of the processor: others may want it too.
			took := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			require.Less(t, took, time.Duration(times)*slack*timeBudget)
			require.Less(t, rss, int64(min(times, 4)*slack*memoryBudget))
		})
	}
}

// TestCompilerCodes: each code of the compiler is earned by its example, and
// what is put right compiles.
func TestCompilerCodes(t *testing.T) {
	n := 0
	for _, c := range diag.Codes() {
		if c.Code < "SNP0500" || c.Code > "SNP0699" {
			continue
		}
		n++
		_, list := compileText(c.Good)
		require.False(t, list.HasErrors(), "%s: %v", c.Code, list)
		if c.Code == diag.CompilerBug {
			continue // TestPanicsAreReported
		}
		text := c.Example()
		require.LessOrEqual(t, len(text), source.MaxSize)
		r, list := compileText(text)
		require.Nil(t, r.Object)
		require.Equal(t, c.Code, list[len(list)-1].Code, "%v", list)
		require.Equal(t, c.Severity, list[len(list)-1].Severity)
		require.NotEmpty(t, list[len(list)-1].Span.Text(), "it says where")
	}
	require.GreaterOrEqual(t, n, 6)
}
