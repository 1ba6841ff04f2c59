//go:build kernel

package difftest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/internal/attempt"
	"github.com/snappy-policy/snappy/internal/kerneltest"
	"github.com/snappy-policy/snappy/internal/progen"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/runtime/audit"
)

//vmtest:timeout 15m

func TestMain(m *testing.M) { attempt.Main(m) }

// How much is tried.
const (
	singles     = 60 // policies, each alone
	stacks      = 20 // of two or three of them
	perPolicy   = 30 // attempts
	leastTries  = 2000
	mostOps     = 16 // of the 22 operations, at least so many are denied some time
	mostReports = 6  // kinds of failing cases of which one is made small
	shrinkSteps = 60
)

// seed is the run's: 1, so that a change is tested on what the last one was, or
// SNAPPY_SEED, a number or "clock".
func seed(t *testing.T) uint64 {
	s := uint64(1)
	switch text := os.Getenv("SNAPPY_SEED"); text {
	case "":
	case "clock":
		s = uint64(time.Now().UnixNano()) % 1_000_000
	default:
		n, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
		s = n
	}
	t.Logf("SNAPPY_SEED=%d", s)
	return s
}

// bench is what the cases of a run share.
type bench struct {
	*kerneltest.Host
	universe *attempt.Universe
	// figures
	tries, events, denied, audited, unresolved, killed int
	byOp                                               map[string]int // denials
	spent                                              map[string]time.Duration
}

// time books what is done until the result is called.
func (b *bench) time(what string) func() {
	start := time.Now()
	return func() { b.spent[what] += time.Since(start) }
}

// mismatch is an attempt that came to something else than the evaluator says.
type mismatch struct {
	attempt attempt.Attempt
	setup   attempt.Setup
	texts   []string // the layers
	what    string
}

// kind is what mismatches of one cause have in common.
func (m mismatch) kind() string {
	return m.attempt.Op + " " + m.attempt.Dir + " " + varying.ReplaceAllString(m.what, "")
}

// varying is what differs between two cases of a kind.
var varying = regexp.MustCompile(`[0-9]+|/t/[^ ]*|by p.snp.*`)

// TestKernelAgreesWithEvaluator: random policies, alone and stacked, and random
// attempts: errors and reports are those that the evaluator predicts.
func TestKernelAgreesWithEvaluator(t *testing.T) {
	start := time.Now()
	run := seed(t)
	b := &bench{Host: kerneltest.Open(t), byOp: map[string]int{}, spent: map[string]time.Duration{}}
	b.universe = attempt.Default(kerneltest.Victim(t))
	require.NoError(t, b.universe.Build())
	listener, err := net.Listen("tcp4", "127.0.0.1:8080")
	require.NoError(t, err)
	defer listener.Close()
	setup := time.Since(start)

	var found []mismatch
	var loaded []*kerneltest.Policy
	loading := time.Duration(0)
	for i := range uint64(singles) {
		r := rand.New(rand.NewPCG(run, i))
		text := progen.Policy(r, progen.Default(), options(i))
		begin := time.Now()
		p, err := b.Load(text)
		loading += time.Since(begin)
		if err != nil {
			t.Errorf("policy %d: %v\n%s", i, err, text)
			continue
		}
		loaded = append(loaded, p)
		found = append(found, b.trial(t, r, p)...)
		if i%20 == 19 {
			t.Logf("%d policies: %.0fs, of them %.0fs for loading; %d attempts, %d mismatches", i+1, time.Since(start).Seconds(), loading.Seconds(), b.tries, len(found))
		}
	}
	for i := range uint64(stacks) {
		r := rand.New(rand.NewPCG(run, 1000+i))
		var layers []*kerneltest.Policy
		for range 2 + r.IntN(2) {
			layers = append(layers, loaded[r.IntN(len(loaded))])
		}
		found = append(found, b.trial(t, r, layers...)...)
	}
	t.Logf("%d policies, %d stacks, %d attempts, %d events, %d denied (%d unresolved), %d killed, %d audited, %d mismatches; %.0fs, of them %.0fs for setting up, %.0fs for loading",
		singles, stacks, b.tries, b.events, b.denied, b.unresolved, b.killed, b.audited, len(found), time.Since(start).Seconds(), setup.Seconds(), loading.Seconds())
	t.Logf("denied by operation: %v", b.byOp)
	t.Logf("time spent: %v", b.spent)
	alike := map[string]int{}
	for _, m := range found {
		// One of each kind is made small.
		if alike[m.kind()]++; alike[m.kind()] > 1 || len(alike) > mostReports {
			continue
		}
		m = b.shrink(t, m)
		t.Errorf("seed %d: %s %+v\n%s\n%s", run, m.attempt, m.setup, m.what, strings.Join(m.texts, "\n-- next layer\n"))
	}
	if len(found) > 0 {
		t.Errorf("mismatches by kind: %v", alike)
	}
	for _, p := range loaded {
		require.NoError(t, p.Loaded.Close())
	}
	require.GreaterOrEqual(t, b.tries, leastTries)
	// Rules and attempts must meet, else the comparison says nothing.
	require.Greater(t, b.denied, b.tries/10)
	require.GreaterOrEqual(t, len(b.byOp), mostOps, "operations that were denied")
	require.Positive(t, b.unresolved)
	require.Positive(t, b.killed)
	require.Positive(t, b.audited)
}

// options varies what policies are about. Every fourth is about capabilities.
func options(i uint64) progen.Options {
	switch i % 4 {
	case 0:
		return progen.Options{Rules: 6, Only: []string{"capability", "file.chown", "net.bind", "file.open"}}
	case 1:
		return progen.Options{Rules: 3, Depth: 4, NoCapability: true}
	default:
		return progen.Options{Rules: 6, NoCapability: true, Kill: true}
	}
}

// trial tries random attempts under a stack of policies.
func (b *bench) trial(t *testing.T, r *rand.Rand, layers ...*kerneltest.Policy) []mismatch {
	t.Helper()
	setup := b.setup(r)
	about := map[string]bool{}
	for _, p := range layers {
		for _, rule := range p.Checked.Rules {
			for _, u := range rule.Ops {
				about[u.Op.Name] = true
			}
		}
		for _, d := range p.Checked.Defaults {
			for _, op := range d.Ops {
				about[op.Name] = true
			}
		}
	}
	var attempts []attempt.Attempt
	for tries := 0; len(attempts) < perPolicy; tries++ {
		a := b.universe.Random(r)
		met := slices.ContainsFunc(a.Operations(), func(op string) bool { return about[op] })
		if (met || r.IntN(8) == 0 || tries > 2000) && !(about["capability"] && a.Asks()) {
			attempts = append(attempts, a)
		}
	}
	found, err := b.compare(setup, layers, attempts)
	if err != nil {
		t.Errorf("%+v: %v\n%s", setup, err, strings.Join(texts(layers), "\n-- next layer\n"))
	}
	return found
}

func texts(layers []*kerneltest.Policy) []string {
	var out []string
	for _, p := range layers {
		out = append(out, p.Text)
	}
	return out
}

// setup chooses who makes the attempts.
func (b *bench) setup(r *rand.Rand) attempt.Setup {
	s := attempt.Setup{Comm: "prober", Remember: []int{b.universe.Victim}, Folders: true}
	if r.IntN(3) == 0 {
		s.UID = []int{1, 33, 1000}[r.IntN(3)]
	}
	if r.IntN(3) == 0 {
		s.GID, s.EGID = []int{0, 1000}[r.IntN(2)], []int{0, 33, 1000}[r.IntN(3)]
	}
	if r.IntN(4) == 0 {
		s.Comm = []string{"pro", "sh", "a name of 15 by"}[r.IntN(3)]
	}
	s.Thread = r.IntN(4) == 0
	for _, c := range []int{unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN, unix.CAP_CHOWN} {
		if r.IntN(5) == 0 {
			s.Drop |= 1 << c
		}
	}
	return s
}

// compare makes attempts outside of any policy and then under a stack, and
// compares what came of them with the prediction.
func (b *bench) compare(setup attempt.Setup, layers []*kerneltest.Policy, attempts []attempt.Attempt) (found []mismatch, err error) {
	stop := b.time("namespace")
	space, err := b.Stack(layers...)
	stop()
	if err != nil {
		return nil, err
	}
	defer func() {
		defer b.time("namespace")()
		err = errors.Join(err, space.Destroy())
	}()
	var stack []*check.Policy
	for _, p := range layers {
		stack = append(stack, p.Checked)
	}
	stop = b.time("agent")
	agent, err := attempt.Start(setup)
	stop()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, agent.Stop()) }()
	stop = b.time("natural")
	natural := make([]attempt.Outcome, len(attempts))
	for i, a := range attempts {
		if err := b.universe.Reset(); err != nil {
			return nil, fmt.Errorf("reset: %w", err)
		}
		if natural[i], err = agent.Do(a); err != nil {
			return nil, err
		}
	}
	stop()
	stop = b.time("enter")
	if err := space.Enter(agent.Facts.PID); err != nil {
		return nil, err
	}
	stop()
	defer b.time("confined")()
	for i, a := range attempts {
		if err := b.universe.Reset(); err != nil {
			return nil, fmt.Errorf("reset: %w", err)
		}
		what, dead, err := b.one(agent, stack, a, natural[i])
		if err != nil {
			return nil, err
		}
		if what != "" {
			found = append(found, mismatch{a, setup, texts(layers), what})
		}
		if dead {
			if err := agent.Stop(); err != nil {
				return nil, err
			}
			if agent, err = attempt.Start(setup); err != nil {
				return nil, err
			}
			if err := space.Enter(agent.Facts.PID); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// one makes one attempt and tells what is different, and whether the agent is dead.
func (b *bench) one(agent *attempt.Agent, stack []*check.Policy, a attempt.Attempt, natural attempt.Outcome) (what string, dead bool, err error) {
	confined, err := agent.Do(a)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		dead, err = true, nil
	}
	if err != nil {
		return "", false, err
	}
	got, err := b.Events()
	if err != nil {
		return "", dead, err
	}
	child := confined.Child
	for _, e := range got {
		if child == 0 && int(e.PPID) == agent.Facts.PID && a.Op == "exec" {
			child = int(e.PID)
		}
	}
	want := predict(stack, agent.Facts, natural, confined, child)
	b.tries++
	b.events += want.events
	for _, r := range want.reports {
		switch {
		case r.verdict == "audited":
			b.audited++
		case r.verdict == "killed":
			b.killed++
		default:
			b.denied++
			b.byOp[r.op]++
			if r.reason == "unresolved" {
				b.unresolved++
			}
		}
	}
	return b.differences(agent, want, confined, got, dead, child, a), dead, nil
}

func (b *bench) differences(agent *attempt.Agent, want expectation, confined attempt.Outcome, got []*audit.Event, dead bool, child int, a attempt.Attempt) string {
	var out []string
	// A kill ends the child that executes, not the agent.
	inChild := a.Op == "exec"
	if killed := want.killed && !inChild; killed != dead {
		out = append(out, fmt.Sprintf("agent killed: want %v, got %v", killed, dead))
	}
	if killed := want.killed && inChild; killed != confined.ChildKilled {
		out = append(out, fmt.Sprintf("child killed: want %v, got %v", killed, confined.ChildKilled))
	}
	if !dead && !confined.ChildKilled && want.errno != confined.Errno {
		out = append(out, fmt.Sprintf("error: want %v, got %v", want.errno, confined.Errno))
	}
	for i := range max(len(want.reports), len(got)) {
		switch {
		case i >= len(got):
			out = append(out, fmt.Sprintf("report %d: want %s, got none", i, want.reports[i]))
		case i >= len(want.reports):
			out = append(out, fmt.Sprintf("report %d: want none, got %s", i, got[i]))
		default:
			if d := want.reports[i].differs(got[i], agent.Facts, child); d != "" {
				out = append(out, fmt.Sprintf("report %d: %s: %s\n  %s", i, want.reports[i], d, got[i]))
			}
		}
	}
	return strings.Join(out, "\n")
}

// shrink makes a failing case small.
func (b *bench) shrink(t *testing.T, m mismatch) mismatch {
	fails := func(texts []string) bool {
		var layers []*kerneltest.Policy
		defer func() {
			for _, p := range layers {
				require.NoError(t, p.Loaded.Close())
			}
		}()
		for _, text := range texts {
			p, err := b.Load(text)
			if err != nil {
				return false
			}
			layers = append(layers, p)
		}
		found, err := b.compare(m.setup, layers, []attempt.Attempt{m.attempt})
		if err != nil || len(found) == 0 {
			return false
		}
		m.what = found[0].what
		return true
	}
	for i := 0; len(m.texts) > 1 && i < len(m.texts); {
		fewer := slices.Delete(slices.Clone(m.texts), i, i+1)
		if fails(fewer) {
			m.texts = fewer
		} else {
			i++
		}
	}
	for i := range m.texts {
		m.texts[i] = progen.Shrink(m.texts[i], shrinkSteps, func(text string) bool {
			all := slices.Clone(m.texts)
			all[i] = text
			return fails(all)
		})
	}
	return m
}
