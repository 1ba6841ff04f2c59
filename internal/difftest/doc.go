// Package difftest compares what the compiler makes with what the language
// means. On the host: every random well-typed policy compiles, always to the
// same bytes. In a kernel: the reference evaluator and the kernel give the same
// verdict, the same error and the same reports on random attempts.
//
// The package has tests only. A failing kernel test prints a seed; give it back
// as SNAPPY_SEED to repeat that run.
package difftest
