package diag

// checkCodes explains the codes of lang/check: names and types (SNP03xx), meaning (SNP04xx).
var checkCodes = []CodeInfo{}
