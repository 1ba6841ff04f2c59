package diag

// loadCodes explains the codes of loading a policy into the kernel (SNP07xx).
var loadCodes = []CodeInfo{}
