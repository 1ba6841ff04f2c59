package probe

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// State is what came of looking at one thing.
type State uint8

// The states; the zero value is invalid.
const (
	// OK: as it should be.
	OK State = iota + 1
	// Limited: policies are enforced, but something works less well, or differently.
	Limited
	// Unknown: it could not be looked at.
	Unknown
	// Missing: without it nothing can be enforced.
	Missing
)

var states = [...]string{OK: "ok", Limited: "limited", Unknown: "unknown", Missing: "missing"}

func (s State) String() string {
	if int(s) < len(states) && s != 0 {
		return states[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText makes a State its name in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name of a State.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range states {
		if name != "" && name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("no state %q", text)
}

// Finding is one thing that was looked at.
type Finding struct {
	Name  string `json:"name"` // stable, such as "lsm"; hooks are "hook NAME"
	State State  `json:"state"`
	// What was found, a sentence without full stop.
	What string `json:"what"`
	// Why it is needed, or what the consequence is; and how to change it, line by
	// line. Both are empty if the state is OK.
	Why string `json:"why,omitempty"`
	Fix string `json:"fix,omitempty"`
}

// Report is what this system can do.
type Report struct {
	Kernel string `json:"kernel"` // as uname -r gives it
	Arch   string `json:"arch"`   // GOARCH
	// Enforces: policies can be enforced here, now, by this process.
	Enforces bool      `json:"enforces"`
	Findings []Finding `json:"findings"`
}

// Doctor looks at the running system. Trial programs that it attaches allow
// everything and are detached before it returns.
func Doctor() *Report {
	h := host{files: os.DirFS("/"), arch: runtime.GOARCH, trials: attempt}
	return h.examine()
}

// examine makes the report. The order of findings is that in which a person
// would mend them.
func (h *host) examine() *Report {
	r := &Report{Kernel: strings.TrimSpace(h.text("proc/sys/kernel/osrelease")), Arch: h.arch}
	add := func(f ...Finding) { r.Findings = append(r.Findings, f...) }
	add(h.kernel(r.Kernel), h.architecture(r.Kernel))
	privileges := h.privileges()
	add(privileges, h.btf())
	var t trials
	if privileges.State == OK {
		t = h.trials()
	} else {
		t = trials{skipped: "not tried: it takes privileges"}
	}
	add(h.lsm(t), h.lockdown(), h.bpffs())
	add(t.findings()...)
	if t.skipped == "" {
		add(h.symbols())
	}
	r.Enforces = true
	for _, f := range r.Findings {
		if f.State != OK && f.State != Limited {
			r.Enforces = false
		}
	}
	return r
}
