// Package kerneltest takes policies the whole path for kernel tests: source
// text, object, programs in the kernel, a namespace, and back the events.
//
// It needs root in a machine of its own: a Host uses the default folders of
// runtime/namespace and is the one consumer of the event ring.
package kerneltest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/internal/attempt"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/runtime/audit"
	"github.com/snappy-policy/snappy/runtime/loader"
	"github.com/snappy-policy/snappy/runtime/namespace"
)

// Host loads policies and reads events.
type Host struct {
	Manager *namespace.Manager
	events  *ebpf.Map
	ring    *ringbuf.Reader
	metas   map[uint64]*object.Meta
	keep    *Space
}

// Policy is a policy in all its forms.
type Policy struct {
	Text    string
	Checked *check.Policy
	Object  []byte
	Loaded  *namespace.Policy
}

// Space is a namespace and the policies that it was made of.
type Space struct {
	*namespace.Namespace
	Policies []*Policy
}

// everything has a program at each hook and denies nothing that happens.
const everything = "policy everything\ndefault deny for exec, file.see, file.change, net.socket, net.bind, net.connect, net.listen, process.signal, process.ptrace, capability\n" +
	"allow exec, file.see, net.socket, net.bind, net.connect, net.listen, process.signal, process.ptrace, capability\nallow file.change\n"

// Open sets the core up; it is gone at the end of the test. A policy for all
// hooks is loaded until then, so that dispatchers do not come and go with each
// of the test's policies.
func Open(t testing.TB) *Host {
	t.Helper()
	m, err := namespace.Open(namespace.Options{})
	require.NoError(t, err)
	h := &Host{Manager: m, metas: map[uint64]*object.Meta{}}
	h.events, err = m.Map(abi.MapEvents)
	require.NoError(t, err)
	h.ring, err = ringbuf.NewReader(h.events)
	require.NoError(t, err)
	h.keep, err = h.Space(everything)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, errors.Join(h.keep.Close(), h.ring.Close(), h.events.Close(), m.Collect()))
	})
	return h
}

// Compile compiles a policy under the name p.snp. An error shows all diagnostics.
func Compile(text string) (*Policy, error) {
	r, list := compiler.Compile(fstest.MapFS{"p.snp": {Data: []byte(text)}}, "p.snp", compiler.Options{Version: "test"})
	if list.HasErrors() {
		var b strings.Builder
		if err := diag.Text(&b, list, diag.TextOptions{}); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s\n%s", b.String(), text)
	}
	return &Policy{Text: text, Checked: r.Policy, Object: r.Object}, nil
}

// Load compiles a policy and loads it.
func (h *Host) Load(text string) (*Policy, error) {
	p, err := Compile(text)
	if err != nil {
		return nil, err
	}
	return p, h.Add(p)
}

// Add loads a compiled policy.
func (h *Host) Add(p *Policy) error {
	obj, err := loader.Read(p.Object)
	if err != nil {
		return err
	}
	if p.Loaded, err = h.Manager.Load(obj); err != nil {
		return err
	}
	h.metas[p.Loaded.ID] = obj.Meta
	return nil
}

// Space loads policies and creates a namespace of them, the outermost first.
func (h *Host) Space(texts ...string) (*Space, error) {
	var policies []*Policy
	for _, text := range texts {
		p, err := h.Load(text)
		if err != nil {
			return nil, err
		}
		policies = append(policies, p)
	}
	return h.Stack(policies...)
}

// Stack creates a namespace of loaded policies.
func (h *Host) Stack(policies ...*Policy) (*Space, error) {
	s := &Space{Policies: policies}
	var loaded []*namespace.Policy
	for _, p := range policies {
		loaded = append(loaded, p.Loaded)
	}
	var err error
	s.Namespace, err = h.Manager.Create(nil, loaded...)
	return s, err
}

// Close gives the namespace and its policies up; Collect frees them.
func (s *Space) Close() error {
	errs := []error{s.Namespace.Close()}
	for _, p := range s.Policies {
		errs = append(errs, p.Loaded.Close())
	}
	return errors.Join(errs...)
}

// Events gives what has been reported since the last call. What a process
// caused before it said that it was done is among it.
func (h *Host) Events() ([]*audit.Event, error) {
	var all []*audit.Event
	h.ring.SetDeadline(time.Unix(1, 0))
	for h.ring.AvailableBytes() > 0 {
		rec, err := h.ring.Read()
		if err != nil {
			return nil, fmt.Errorf("event ring: %w", err)
		}
		e, err := audit.Decode(rec.RawSample, func(id uint64) *object.Meta { return h.metas[id] })
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// Agent starts an agent; it ends with the test.
func Agent(t testing.TB, s attempt.Setup) *attempt.Agent {
	t.Helper()
	a, err := attempt.Start(s)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Stop() })
	return a
}

// Victim starts a process for attempts to act on; it ends with the test.
func Victim(t testing.TB) int {
	t.Helper()
	pid, stop, err := attempt.StartVictim()
	require.NoError(t, err)
	t.Cleanup(stop)
	return pid
}
