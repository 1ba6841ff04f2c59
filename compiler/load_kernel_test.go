//go:build kernel

package compiler_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/compiler"
	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/internal/attempt"
	"github.com/snappy-policy/snappy/internal/kerneltest"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/runtime/loader"
)

//vmtest:file ../testdata/cases ../testdata/cases
//vmtest:program /usr/sbin/bpftool
//vmtest:timeout 500s

const bpftoolPath = "/usr/sbin/bpftool"

func TestMain(m *testing.M) { attempt.Main(m) }

// loadedCases have programs for every hook between them.
var loadedCases = []string{"exec-fields", "audit-path", "file-change", "file-rename-each", "file-symlink", "nginx", "net-socket", "net-connect", "net-listen",
	"process-signal", "process-ptrace", "capability", "arithmetic", "comm", "globs", "large-set"}

func compileCase(t *testing.T, name string) *compiler.Result {
	a, err := txtar.ParseFile(filepath.Join(cases, name+".txtar"))
	require.NoError(t, err)
	r, list := compileFiles(caseFiles(a))
	require.False(t, list.HasErrors(), "%v", list)
	return r
}

// kernelHas tells whether the running kernel has an LSM hook.
func kernelHas(t *testing.T, kernel *btf.Spec, name string) bool {
	var fn *btf.Func
	if kernel.TypeByName("bpf_lsm_"+name, &fn) == nil {
		return true
	}
	for _, h := range hook.Hooks() {
		if h.Name == name {
			require.NotEmpty(t, h.Absent, "the kernel must have hook %s", name)
		}
	}
	return false
}

// TestCasesLoadByOurLoader: programs for every hook verify and are made.
func TestCasesLoadByOurLoader(t *testing.T) {
	h := kerneltest.Open(t)
	seen := map[string]bool{}
	for _, name := range loadedCases {
		r := compileCase(t, name)
		obj, err := loader.Read(r.Object)
		require.NoError(t, err)
		start := time.Now()
		p, err := h.Manager.Load(obj)
		require.NoError(t, err, name)
		t.Logf("%s: %d programs, %.1fs", name, len(r.File.Programs), time.Since(start).Seconds())
		require.NoError(t, p.Close())
		for _, prog := range r.File.Programs {
			seen[prog.Hook] = true
		}
	}
	for _, hk := range hook.Hooks() {
		require.True(t, seen[hk.Name], "no case has a program for %s", hk.Name)
	}
}

// TestCasesLoadByLibbpf: bpftool, and so libbpf, loads the same objects, those
// apart that need a hook which the kernel does not have.
func TestCasesLoadByLibbpf(t *testing.T) {
	kernel, err := btf.LoadKernelSpec()
	require.NoError(t, err)
	loaded := 0
	for _, name := range loadedCases {
		r := compileCase(t, name)
		missing := ""
		for _, p := range r.File.Programs {
			if !kernelHas(t, kernel, p.Hook) {
				missing = p.Hook
			}
		}
		file := filepath.Join(t.TempDir(), "policy.bpf.o")
		require.NoError(t, os.WriteFile(file, r.Object, 0o644))
		dir := "/sys/fs/bpf/compiler_" + strings.ReplaceAll(name, "-", "_")
		out, err := exec.Command(bpftoolPath, "prog", "loadall", file, dir).CombinedOutput()
		if missing != "" {
			require.Error(t, err, name)
			require.Contains(t, string(out), missing, name)
			continue
		}
		require.NoError(t, err, "%s: %s", name, out)
		pins, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, pins, len(r.File.Programs), name)
		for i, pin := range pins {
			path := filepath.Join(dir, pin.Name())
			if i == 0 {
				dump, err := exec.Command(bpftoolPath, "prog", "dump", "xlated", "pinned", path, "linum").CombinedOutput()
				require.NoError(t, err, "%s: %s", name, dump)
				require.Contains(t, string(dump), "[file:input.snp line_num:", "%s %s", name, pin.Name())
			}
			require.NoError(t, os.Remove(path))
		}
		require.NoError(t, os.Remove(dir))
		loaded++
	}
	require.GreaterOrEqual(t, loaded, 10)
}

// largePolicies need programs that are longer than a jump reaches.
var largePolicies = map[string]func() string{
	"computed conditions": func() string {
		return many(200, func(i int) string {
			return fmt.Sprintf("deny net.socket when protocol * %d + type == %d", i+2, 1_000_000+7*i)
		})
	},
	"pairs of numbers": func() string {
		return many(200, func(i int) string {
			return fmt.Sprintf("deny net.socket when type == 3 and protocol == %d and family != %d", i, i%40)
		})
	},
	"divisions": func() string {
		return many(20, func(i int) string {
			var b strings.Builder
			fmt.Fprintf(&b, "deny net.socket when protocol + %d", i)
			for k := range 150 {
				fmt.Fprintf(&b, " + type / %d", 2+i+k)
			}
			return b.String() + fmt.Sprintf(" == %d", 2_000_000+i)
		})
	},
	"many addresses and ports": func() string {
		return many(9000, func(i int) string {
			if i%2 == 0 {
				return fmt.Sprintf("deny net.connect when addr in 10.%d.%d.0/24", i/256, i%256)
			}
			return fmt.Sprintf("deny net.connect when port == %d", 1000+i)
		})
	},
	"many paths": func() string {
		return many(9990, func(i int) string {
			if i%2 == 0 {
				return fmt.Sprintf("deny file.open when path == \"/srv/d%d/f%d\"", i%97, i)
			}
			return fmt.Sprintf("deny file.open when path matches \"/srv/d%d/*/f%d.*\"", i%97, i)
		})
	},
}

// TestLargePoliciesLoad: verifiers accept what the compiler makes of policies
// near its limits.
func TestLargePoliciesLoad(t *testing.T) {
	h := kerneltest.Open(t)
	for name, text := range largePolicies {
		start := time.Now()
		r, list := compileText(text())
		require.False(t, list.HasErrors(), "%s: %v", name, list)
		compiled := time.Since(start)
		n := 0
		for _, p := range r.File.Programs {
			n += len(p.Code)
		}
		obj, err := loader.Read(r.Object)
		require.NoError(t, err)
		start = time.Now()
		p, err := h.Manager.Load(obj)
		if err != nil {
			text := fmt.Sprintf("%+v", err)
			t.Errorf("%s: %d instructions: %s", name, n, text[max(0, len(text)-1500):])
			continue
		}
		t.Logf("%s: %d instructions, %d bytes, compiled in %.1fs, loaded in %.1fs", name, n, len(r.Object), compiled.Seconds(), time.Since(start).Seconds())
		require.NoError(t, p.Close())
	}
}

// socketEvent is a socket(2) call; routines of the policy see nothing else.
type socketEvent map[string]int64

func (e socketEvent) Int(name string) int64    { return e[name] }
func (e socketEvent) Class(*ir.Classifier) int { panic("these policies have no classifiers") }

// expression is a random one over the numbers of a socket.
func expression(r *rand.Rand, depth int) string {
	if depth == 0 || r.IntN(6) == 0 {
		return []string{"protocol", "protocol", "type", "family"}[r.IntN(4)]
	}
	x := expression(r, depth-1)
	switch r.IntN(8) {
	case 0:
		return fmt.Sprintf("(%s / %d)", x, 1+r.IntN(9))
	case 1:
		return fmt.Sprintf("(%s %% %d)", x, []int{2, 3, 7, 1000, 1 << 33}[r.IntN(5)])
	case 2:
		return fmt.Sprintf("(%s << %d)", x, r.IntN(40))
	case 3:
		return fmt.Sprintf("(%s >> %d)", x, r.IntN(40))
	}
	y := expression(r, depth-1)
	if r.IntN(4) == 0 {
		y = []string{strconv.Itoa(r.IntN(2000) - 1000), "0x7fff_ffff", "0x1_0000_0001"}[r.IntN(3)]
	}
	return fmt.Sprintf("(%s %s %s)", x, []string{"+", "-", "*", "&", "|", "^"}[r.IntN(6)], y)
}

// TestArithmeticInTheKernel compares verdicts that hang on hundreds of random
// expressions with the interpreter of the representation.
func TestArithmeticInTheKernel(t *testing.T) {
	h := kerneltest.Open(t)
	seed := uint64(1)
	if s := os.Getenv("SNAPPY_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		seed = n
	}
	t.Logf("SNAPPY_SEED=%d", seed)
	tries, denied := 0, 0
	for round := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, round))
		const rules = 16
		text := many(rules, func(i int) string {
			cmp := []string{"==", "!=", "<", "<=", ">", ">="}[r.IntN(6)]
			// Few events meet the second part, so that many rules get their turn.
			return fmt.Sprintf("deny net.socket when (%s) + 0 %s %s and (%s & 15) == %d", expression(r, 4), cmp, expression(r, 4), expression(r, 3), r.IntN(16))
		})
		result, list := compileText(text)
		require.False(t, list.HasErrors(), "%v", list)
		p := &kerneltest.Policy{Text: text, Checked: result.Policy, Object: result.Object}
		obj, err := loader.Read(p.Object)
		require.NoError(t, err)
		p.Loaded, err = h.Manager.Load(obj)
		require.NoError(t, err)
		space, err := h.Stack(p)
		require.NoError(t, err)
		agent := kerneltest.Agent(t, attempt.Setup{Comm: "prober"})
		var tried []attempt.Attempt
		var natural []attempt.Outcome
		for range 80 {
			a := attempt.Attempt{Op: "socket", Family: 1 + r.IntN(44), Type: 1 + r.IntN(5), Proto: r.IntN(300)}
			if r.IntN(3) == 0 {
				a.Proto = int(int32(r.Uint32()))
			}
			o, err := agent.Do(a)
			require.NoError(t, err)
			tried, natural = append(tried, a), append(natural, o)
		}
		require.NoError(t, space.Enter(agent.Facts.PID))
		for i, a := range tried {
			_, leaf := ir.Run(result.Module, "socket_create", socketEvent{"family": int64(a.Family), "type": int64(a.Type), "protocol": int64(a.Proto), "kern": 0})
			want := natural[i].Errno
			if leaf != 0 {
				want = unix.Errno(result.Module.Leaves[leaf].Errno)
				denied++
			}
			o, err := agent.Do(a)
			require.NoError(t, err)
			tries++
			require.Equal(t, want, o.Errno, "seed %d, round %d: %+v, leaf %d", seed, round, a, leaf)
		}
		events, err := h.Events()
		require.NoError(t, err)
		require.NotEmpty(t, events)
		require.NoError(t, agent.Stop())
		require.NoError(t, space.Close())
	}
	t.Logf("%d sockets, %d denied", tries, denied)
	require.Greater(t, denied, tries/10)
	require.Less(t, denied, tries*9/10)
}
