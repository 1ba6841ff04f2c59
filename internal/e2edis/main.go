package main

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"
)

func main() {
	s, err := ebpf.LoadCollectionSpec(os.Args[1])
	if err != nil {
		panic(err)
	}
	for n, v := range s.Variables {
		fmt.Println(n, v)
	}
}
