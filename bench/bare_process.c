/* A process that does nothing: the part of a launch that any program pays. */
int main(void) { return 0; }
