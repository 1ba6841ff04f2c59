package diag

// Codes of the compiler behind the checker: limits (SNP055x) and what this
// version cannot enforce (SNP065x).
const (
	TablesTooLarge     Code = "SNP0551"
	PatternsTooComplex Code = "SNP0552"
	SetsTooComplex     Code = "SNP0553"

	UnresolvableValue Code = "SNP0651"
)
