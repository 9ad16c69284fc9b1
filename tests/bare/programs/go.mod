module hugeprobe/programs

go 1.24

require mvdan.cc/sh/v3 v3.12.0
