/** All that the package has said in the tests of a file: records of its log, and its errors. */
export const said: string[] = []
