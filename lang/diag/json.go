package diag

import (
	"encoding/json"
	"io"

	"github.com/snappy-policy/snappy/lang/source"
)

// place is where a diagnostic stands: lines and byte columns from 1, the end
// behind the last byte; all zero and "" if it is nowhere.
type place struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"endLine"`
	EndColumn int    `json:"endColumn"`
}

type relatedJSON struct {
	Message string `json:"message"`
	place
}

type diagnosticJSON struct {
	Code     Code   `json:"code"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
	place
	Help    string        `json:"help"`
	Related []relatedJSON `json:"related"`
}

func placeOf(sp source.Span) place {
	if sp.IsZero() {
		return place{}
	}
	p := place{File: sp.File.Name}
	p.Line, p.Column = sp.File.LineCol(sp.Start)
	p.EndLine, p.EndColumn = sp.File.LineCol(sp.End)
	return p
}

// JSON writes diagnostics as one array of objects, each with the fields code,
// severity (error, warning or note), message, file, line, column, endLine,
// endColumn, help and related, all always present. The error is that of the writer.
func JSON(w io.Writer, l List) error {
	out := make([]diagnosticJSON, 0, len(l))
	for _, d := range l {
		j := diagnosticJSON{Code: d.Code, Severity: d.Severity.String(), Message: d.Message, place: placeOf(d.Span), Help: d.Help,
			Related: make([]relatedJSON, 0, len(d.Related))}
		for _, r := range d.Related {
			j.Related = append(j.Related, relatedJSON{Message: r.Message, place: placeOf(r.Span)})
		}
		out = append(out, j)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
