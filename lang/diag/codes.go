package diag

// CodeInfo explains a code: what `explain SNP0123` prints and the reference of
// diagnostics is made of.
type CodeInfo struct {
	Code     Code
	Severity Severity
	Title    string // a few words, no full stop
	// Explanation tells why this is refused and what to do: sentences, in
	// paragraphs separated by an empty line.
	Explanation string
	// Bad is a policy that earns this code, Good the same policy corrected. Where
	// several files are needed, each begins with a line `-- name --` and the first
	// is the main file (txtar). Generate makes Bad where it is too large to write
	// down, such as a file above the size limit; then Bad shows its beginning.
	Bad, Good string
	Generate  func() string
}

// Example is the failing policy in full.
func (c CodeInfo) Example() string {
	if c.Generate != nil {
		return c.Generate()
	}
	return c.Bad
}

// tables holds the codes by owner, each sorted, in the order of their numbers.
var tables = [][]CodeInfo{
	syntaxCodes,   // SNP00xx lexer, SNP01xx parser, SNP02xx imports
	checkCodes,    // SNP03xx names and types, SNP04xx meaning
	compilerCodes, // SNP05xx, SNP06xx
	loadCodes,     // SNP07xx loading into the kernel
}

// Codes gives every code, sorted.
func Codes() []CodeInfo {
	var all []CodeInfo
	for _, t := range tables {
		all = append(all, t...)
	}
	return all
}

// Explain finds a code's explanation.
func Explain(code Code) (CodeInfo, bool) {
	for _, t := range tables {
		for _, c := range t {
			if c.Code == code {
				return c, true
			}
		}
	}
	return CodeInfo{}, false
}
