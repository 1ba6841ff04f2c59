package probe

import (
	"fmt"
	"strings"
)

// Status is the outcome of one check.
type Status uint8

// The outcomes; the zero value is invalid.
const (
	OK Status = iota + 1
	Missing
	Unknown // it could not be found out
)

var statusNames = map[Status]string{OK: "ok", Missing: "missing", Unknown: "unknown"}

func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// MarshalText is the status as a word, for JSON.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is the result of one check.
type Finding struct {
	// Name is stable: "lsm.enabled", "hook.file_open".
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Required: without it no policy can be enforced at all, or (hooks) none that
	// needs it.
	Required bool   `json:"required"`
	What     string `json:"what"`          // what was found, one sentence
	Why      string `json:"why,omitempty"` // what it is needed for; empty if OK
	Fix      string `json:"fix,omitempty"` // what to do about it; empty if OK or if nothing can be done
}

// Report is what Run found out, in the order of the checks.
type Report struct {
	Kernel   string    `json:"kernel"` // release, as of uname -r
	Arch     string    `json:"arch"`   // as of GOARCH
	Findings []Finding `json:"findings"`
}

// Ready says that nothing required is missing. What is unknown counts as there.
func (r *Report) Ready() bool {
	for _, f := range r.Findings {
		if f.Required && f.Status == Missing {
			return false
		}
	}
	return true
}

// Finding returns the finding of that name, or nil.
func (r *Report) Finding(name string) *Finding {
	for i := range r.Findings {
		if r.Findings[i].Name == name {
			return &r.Findings[i]
		}
	}
	return nil
}

// String is the report for people: what is not well first gets a remedy, then
// the rest in short.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "kernel %s, %s\n", r.Kernel, r.Arch)
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-8s %-28s %s\n", f.Status, f.Name, f.What)
		for _, line := range []struct{ word, text string }{{"needed", f.Why}, {"remedy", f.Fix}} {
			if line.text != "" {
				fmt.Fprintf(&b, "%-8s   %s: %s\n", "", line.word, line.text)
			}
		}
	}
	if r.Ready() {
		b.WriteString("This kernel can enforce policies.\n")
	} else {
		b.WriteString("This kernel cannot enforce policies: see what is missing and required.\n")
	}
	return b.String()
}

func (r *Report) add(f Finding) {
	if f.Status == OK {
		f.Why, f.Fix = "", ""
	}
	r.Findings = append(r.Findings, f)
}
