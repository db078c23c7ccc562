#include "sinew.cuh"
