package diag

import (
	"encoding/json"
	"io"
	"unicode/utf8"

	"github.com/snappy-policy/snappy/lang/source"
)

// The part of SARIF 2.1.0 (OASIS standard) that code scanning services read.
type (
	sarifLog struct {
		Version string     `json:"version"`
		Schema  string     `json:"$schema"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID    Code      `json:"id"`
		Short sarifText `json:"shortDescription"`
		Full  sarifText `json:"fullDescription"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		Rule      Code            `json:"ruleId"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
		Related   []sarifLocation `json:"relatedLocations,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
		Message  *sarifText    `json:"message,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
		EndLine     int `json:"endLine"`
		EndColumn   int `json:"endColumn"`
	}
)

// SARIF writes diagnostics as one run of SARIF 2.1.0. Columns count characters,
// as that format wants them. The rules are those codes that occur, in the order
// of the code table. A help line is appended to its message. The error is that
// of the writer.
func SARIF(w io.Writer, l List) error {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "snappyc", Rules: []sarifRule{}}}, ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	used := map[Code]bool{}
	for _, d := range l {
		used[d.Code] = true
		r := sarifResult{Rule: d.Code, Level: d.Severity.String(), Message: sarifText{d.Message}, Locations: []sarifLocation{}}
		if d.Help != "" {
			r.Message.Text += "\n" + d.Help
		}
		if !d.Span.IsZero() {
			r.Locations = append(r.Locations, sarifLocation{Physical: physical(d.Span)})
		}
		for _, rel := range d.Related {
			if !rel.Span.IsZero() {
				r.Related = append(r.Related, sarifLocation{Physical: physical(rel.Span), Message: &sarifText{rel.Message}})
			}
		}
		run.Results = append(run.Results, r)
	}
	for _, c := range Codes() {
		if used[c.Code] {
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{c.Code, sarifText{c.Title}, sarifText{c.Explanation}})
		}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(sarifLog{Version: "2.1.0", Schema: "https://json.schemastore.org/sarif-2.1.0.json", Runs: []sarifRun{run}})
}

func physical(sp source.Span) sarifPhysical {
	var r sarifRegion
	r.StartLine, r.StartColumn = lineRune(sp.File, sp.Start)
	r.EndLine, r.EndColumn = lineRune(sp.File, sp.End)
	return sarifPhysical{sarifArtifact{sp.File.Name}, r}
}

// lineRune gives line and column in characters, both from 1.
func lineRune(f *source.File, offset int) (line, col int) {
	line, col = f.LineCol(offset)
	text := f.Line(line)
	return line, utf8.RuneCountInString(text[:min(col-1, len(text))]) + 1
}
