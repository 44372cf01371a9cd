// Names of fixed width, and the constants that every kernel uses.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define WARP 32
#define FULL 0xffffffffu

__device__ __forceinline__ float neg_inf() { return __uint_as_float(0xff800000u); }
