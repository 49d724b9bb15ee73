/** All texts that the package has produced in the tests of a file: the records of its log, and its errors. */
export const said: string[] = []
