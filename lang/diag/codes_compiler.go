package diag

// compilerCodes explains the codes of the compiler (SNP05xx, SNP06xx).
var compilerCodes = []CodeInfo{}
