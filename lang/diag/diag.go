// Package diag holds diagnostics as data: a stable code, a severity, a
// message, where, and what to do. Phases collect them in a List and go on, so
// that all errors of a file are reported in one run; rendering (text, JSON,
// SARIF) is apart from the data.
package diag

import (
	"github.com/snappy-policy/snappy/lang/source"
)

// Severity orders diagnostics; only Error makes a policy unusable.
type Severity uint8

// The severities. The zero value is invalid.
const (
	Error Severity = iota + 1
	Warning
	Note
)

func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	case Note:
		return "note"
	}
	return "invalid"
}

// Code is a stable diagnostic code, "SNP0123". Codes are append-only: a code
// is never reused for another meaning. Each is explained in the code table.
type Code string

// Diagnostic is one finding.
type Diagnostic struct {
	Code     Code
	Severity Severity
	Message  string
	Span     source.Span
	Help     string    // what to do, one line; may be empty
	Related  []Related // other places that explain the finding
}

// Related points at a second place, such as the first declaration of a duplicate.
type Related struct {
	Span    source.Span
	Message string
}

// List collects diagnostics in the order in which they were found.
type List []Diagnostic

// HasErrors reports whether any diagnostic is an Error.
func (l List) HasErrors() bool {
	for _, d := range l {
		if d.Severity == Error {
			return true
		}
	}
	return false
}
