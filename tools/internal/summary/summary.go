// Package summary counts test cases. Input are the events of `go test -json`,
// each under a label that says where the tests ran (host, or the name of a
// kernel); output is a table by label, with every skip and its reason and every
// failure with what it printed.
//
// It fails closed: a test or package that started and did not end has failed,
// and so has a label without any case.
package summary

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Event is one line of a stream. Label is this project's own; the other fields
// are those of `go doc test2json`.
type Event struct {
	Label       string    `json:",omitempty"`
	Time        time.Time `json:",omitzero"`
	Action      string
	Package     string   `json:",omitempty"`
	ImportPath  string   `json:",omitempty"` // of build events, instead of Package
	Test        string   `json:",omitempty"`
	Elapsed     *float64 `json:",omitempty"`
	Output      string   `json:",omitempty"`
	FailedBuild string   `json:",omitempty"`
}

// Outcome is how a case ended.
type Outcome int

// The outcomes. The zero value means that the case has not ended.
const (
	unfinished Outcome = iota
	Passed
	Failed
	Skipped
)

// Case is a test without subtests, or what else can fail.
type Case struct {
	Label   string
	Package string
	Test    string // empty if the package as a whole failed
	Outcome Outcome
	Output  string // what the test printed
}

// Name is package and test.
func (c *Case) Name() string {
	if c.Test == "" {
		return c.Package
	}
	return c.Package + " " + c.Test
}

// Reason is what a skipped test gave as its reason.
func (c *Case) Reason() string {
	var lines []string
	for line := range strings.Lines(c.Output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "no reason given"
	}
	return strings.Join(lines, " ")
}

type key struct{ label, pkg, test string }

type node struct {
	key
	outcome Outcome
	build   string // import path of the build that failed
	output  strings.Builder
}

// Summary collects events. The zero value is ready to use.
type Summary struct {
	// Trim is cut off the front of package names when printing.
	Trim string
	// Progress, if not nil, gets a line for each package that ends.
	Progress io.Writer

	labels []string
	nodes  map[key]*node
	order  []*node
	builds map[key]*strings.Builder
	events int
}

// Events is how many events were added.
func (s *Summary) Events() int { return s.events }

// Expect makes a label part of the summary, which fails if no case comes.
func (s *Summary) Expect(label string) {
	if !slices.Contains(s.labels, label) {
		s.labels = append(s.labels, label)
	}
}

// Read adds all events of a stream, under the label unless they have their own.
func (s *Summary) Read(label string, r io.Reader) error {
	br := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := br.ReadString('\n')
		if strings.TrimSpace(line) != "" {
			var e Event
			if jsonErr := json.Unmarshal([]byte(line), &e); jsonErr != nil {
				return fmt.Errorf("%s: line %d is no test event: %w: %.200q", label, n, jsonErr, line)
			}
			if e.Label == "" {
				e.Label = label
			}
			s.Add(e)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", label, err)
		}
	}
}

// Add adds one event.
func (s *Summary) Add(e Event) {
	s.events++
	s.Expect(e.Label)
	if s.nodes == nil {
		s.nodes = map[key]*node{}
		s.builds = map[key]*strings.Builder{}
	}
	if e.Package == "" {
		if e.Action == "build-output" {
			k := key{e.Label, e.ImportPath, ""}
			if s.builds[k] == nil {
				s.builds[k] = new(strings.Builder)
			}
			s.builds[k].WriteString(e.Output)
		}
		return
	}
	k := key{e.Label, e.Package, e.Test}
	n := s.nodes[k]
	if n == nil {
		n = &node{key: k}
		s.nodes[k] = n
		s.order = append(s.order, n)
	}
	s.progress(e)
	switch e.Action {
	case "output":
		n.output.WriteString(e.Output)
	case "run":
		n.outcome = unfinished // with -count a test runs again; its last run counts, and the package's failure stays
	case "pass", "bench":
		n.outcome = Passed
	case "fail":
		n.outcome = Failed
		n.build = e.FailedBuild
	case "skip":
		n.outcome = Skipped
	}
}

func (s *Summary) progress(e Event) {
	if s.Progress == nil || e.Test != "" {
		return
	}
	seconds := 0.0
	if e.Elapsed != nil {
		seconds = *e.Elapsed
	}
	switch e.Action {
	case "pass":
		fmt.Fprintf(s.Progress, "%-5s ok   %s %.1fs\n", e.Label, strings.TrimPrefix(e.Package, s.Trim), seconds)
	case "fail":
		fmt.Fprintf(s.Progress, "%-5s FAIL %s %.1fs\n", e.Label, strings.TrimPrefix(e.Package, s.Trim), seconds)
	}
}

// Cases lists the cases in the order in which they started.
func (s *Summary) Cases() []Case {
	type family struct{ children, failed bool }
	families := map[key]*family{} // of tests and, with an empty test, of packages
	at := func(k key) *family {
		if families[k] == nil {
			families[k] = new(family)
		}
		return families[k]
	}
	for _, n := range s.order {
		failed := n.outcome == Failed || n.outcome == unfinished
		for k := n.key; k.test != ""; {
			if i := strings.LastIndexByte(k.test, '/'); i >= 0 {
				k.test = k.test[:i]
			} else {
				k.test = ""
			}
			f := at(k)
			f.children = true
			f.failed = f.failed || failed
		}
	}
	var cases []Case
	for _, n := range s.order {
		c := Case{Label: n.label, Package: n.pkg, Test: n.test, Outcome: n.outcome, Output: n.output.String()}
		f := at(n.key)
		switch {
		case n.outcome == unfinished:
			c.Outcome = Failed
			c.Output += "(did not finish)\n"
		case n.outcome == Failed && f.failed:
			continue // told by what is below
		case n.outcome == Failed:
		case n.test == "" || f.children && n.outcome == Passed:
			continue // no case of its own
		}
		if b := s.builds[key{n.label, n.build, ""}]; n.build != "" && b != nil {
			c.Output += b.String()
		}
		cases = append(cases, c)
	}
	for _, label := range s.labels {
		if !slices.ContainsFunc(cases, func(c Case) bool { return c.Label == label }) {
			cases = append(cases, Case{Label: label, Package: "(all)", Outcome: Failed, Output: "no test case ran\n"})
		}
	}
	return cases
}

// Count counts the cases with an outcome, of one label or, if that is empty, of all.
func Count(cases []Case, label string, o Outcome) int {
	n := 0
	for _, c := range cases {
		if c.Outcome == o && (label == "" || c.Label == label) {
			n++
		}
	}
	return n
}

// Print writes the report. Its last line is "N passed, M failed, K skipped".
func (s *Summary) Print(w io.Writer) error {
	cases := s.Cases()
	var b strings.Builder
	name := func(c Case) string { return strings.TrimPrefix(c.Name(), s.Trim) }
	for _, c := range cases {
		if c.Outcome == Failed {
			fmt.Fprintf(&b, "FAILED %s: %s\n", c.Label, name(c))
			for line := range strings.Lines(c.Output) {
				fmt.Fprintf(&b, "    %s\n", strings.TrimRight(line, "\n"))
			}
			b.WriteByte('\n')
		}
	}
	for _, c := range cases {
		if c.Outcome == Skipped {
			fmt.Fprintf(&b, "skipped %s: %s: %s\n", c.Label, name(c), c.Reason())
		}
	}
	if Count(cases, "", Skipped) > 0 {
		b.WriteByte('\n')
	}
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "where\tpassed\tfailed\tskipped\t\n")
	for _, label := range s.labels {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t\n", label, Count(cases, label, Passed), Count(cases, label, Failed), Count(cases, label, Skipped))
	}
	tw.Flush()
	fmt.Fprintf(&b, "\n%d passed, %d failed, %d skipped\n", Count(cases, "", Passed), Count(cases, "", Failed), Count(cases, "", Skipped))
	_, err := io.WriteString(w, b.String())
	return err
}

// NoSkips is the flag -no-skips: alone it forbids skips everywhere,
// -no-skips=a,b under the labels a and b only. It implements flag.Value.
type NoSkips struct {
	all    bool
	labels []string
}

// IsBoolFlag tells package flag that the value may be left out.
func (*NoSkips) IsBoolFlag() bool { return true }

func (n *NoSkips) String() string {
	switch {
	case n == nil:
		return ""
	case n.all:
		return "true"
	}
	return strings.Join(n.labels, ",")
}

// Set parses "true", "false" or a list of labels.
func (n *NoSkips) Set(value string) error {
	*n = NoSkips{}
	switch value {
	case "true":
		n.all = true
	case "false":
	default:
		for label := range strings.SplitSeq(value, ",") {
			if label == "" {
				return fmt.Errorf("empty label in %q", value)
			}
			n.labels = append(n.labels, label)
		}
	}
	return nil
}

// Good reports whether nothing failed and nothing was skipped that must not be.
// Printing a summary that is not good must end in a failing exit code.
func (s *Summary) Good(forbid NoSkips) bool {
	if len(s.labels) == 0 {
		return false
	}
	for _, c := range s.Cases() {
		if c.Outcome == Failed || c.Outcome == Skipped && (forbid.all || slices.Contains(forbid.labels, c.Label)) {
			return false
		}
	}
	return true
}
