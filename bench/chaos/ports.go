//go:build unix

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Servers are ended and started again, and must find their ports free. So these are not
// among those that systems give to who asks for any (from 32768 on, or above), and runs
// share them in blocks: a run has the block whose first port it listens on.
const (
	firstBlock = 12_000
	lastBlock  = 32_000
	blockSize  = 20
)

// claimPorts returns n free ports, which no other run gets until claim is closed.
func claimPorts(n int) (claim net.Listener, ports []int, err error) {
	for _, i := range rand.Perm((lastBlock - firstBlock) / blockSize) {
		base := firstBlock + i*blockSize
		claim, err := listen(base)
		if err != nil {
			continue
		}
		ports = nil
		for port := base + 1; port < base+blockSize && len(ports) < n; port++ {
			if l, err := listen(port); err == nil {
				_ = l.Close()
				ports = append(ports, port)
			}
		}
		if len(ports) == n {
			return claim, ports, nil
		}
		_ = claim.Close()
	}
	return nil, nil, errors.New("chaos: no ports are free")
}

func listen(port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	return l, nil
}
