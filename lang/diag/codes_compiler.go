package diag

// Codes of the compiler behind the checker: limits (SNP050x) and what this
// version cannot enforce (SNP060x).
const (
	TablesTooLarge     Code = "SNP0501"
	PatternsTooComplex Code = "SNP0502"
	SetsTooComplex     Code = "SNP0503"
	ProgramTooLarge    Code = "SNP0504"
	CompilerBug        Code = "SNP0599"

	UnresolvableValue Code = "SNP0601"
)

// compilerCodes explains the codes of the compiler (SNP05xx, SNP06xx).
var compilerCodes = []CodeInfo{
	{Code: UnresolvableValue, Severity: Error, Title: "value that may be unresolved is computed with",
		Explanation: `The kernel may fail to give the address or port of a socket operation, when the caller passes too few bytes or an address family
with a layout of its own. Such a value can be compared with constants, ranges and sets: then the condition is unresolved and
counts against the event. Arithmetic on it, and comparing it with another field, have no such answer in this version.`,
		Bad:  "policy p\ndeny net.connect when port == uid\n",
		Good: "policy p\ndeny net.connect when port == 1000 and uid == 1000\n"},
}
